/**
 * A device that a test drives by hand: submits wait at gates until somebody lets them through, fail when
 * told to, and run in the order of a queue, as on a GPU: also for a caller that is gone.
 *
 * On the CPU everything happens in the tick of the call. On another device `quiet` waits until nothing is on its
 * way, so that between two commands the world stands still there too.
 *
 * @module
 */
import { Effect, Layer, Scheduler } from "effect"
import { type DeviceError, Gpu, GpuFault, type Recording } from "../../mod.ts"
import { LawBroken } from "../laws.ts"
import type { Fault } from "../player.ts"
import { type Poison, words } from "./storage.ts"

type Shape = Gpu.GpuShape

/** The handles of a test. */
export interface Device {
  readonly layer: Layer.Layer<Gpu>
  /** The device itself, without gates. */
  readonly base: Shape
  /** Is the memory of its buffers the host's? */
  readonly host: boolean
  /** Faults of the next submits, in order; past the end they succeed. */
  readonly faults: Array<Fault | undefined>
  /** Without gates nothing waits. */
  gated: boolean
  /** Effects that wait at a gate. */
  readonly waiting: ReadonlyArray<() => void>
  /** Waits at a gate. */
  readonly pause: Effect.Effect<void>
  /**
   * Reads to ask for at a time. On the CPU each waits at a gate; elsewhere they wait at one gate together, as each
   * takes as long as all (Deno polls every 11 ms).
   */
  readonly readers: number
  /** That one gate. */
  readonly beforeReads: Effect.Effect<void>
  /** Lets one of them through: the i-th, counted round. */
  readonly tick: (i: number) => void
  /** Waits until everything waits at a gate or is over. */
  readonly quiet: Effect.Effect<void>
  /** Runs whatever the queue still holds. */
  readonly drain: Effect.Effect<void, DeviceError>
  /** Launches that have run. */
  readonly ran: Array<Recording.Work>
  /** What it made and did not destroy. */
  readonly live: () => Gpu.Live
}

const pairsOf = (launch: Recording.Dispatch, name: string): Uint32Array => {
  const { slot, shape } = launch.bindings[name]!
  return new Uint32Array(slot.buffer!.raw as ArrayBuffer, 0, shape[0]! * shape[1]!)
}

/** Is it one of the kernels that write into a pool? */
export const isAppend = (launch: Recording.Work): launch is Recording.Dispatch =>
  launch._tag === "Dispatch" && launch.kernel.spec.name.startsWith("append_")

/** Threads of a launch run in any order, so none may read what another writes. */
const ordered = (launch: Recording.Work): void => {
  if (!isAppend(launch)) return
  const [entries, copies] = [pairsOf(launch, "entries"), pairsOf(launch, "copies")]
  const written = new Set<number>()
  for (let i = 1; i < entries.length; i += 2) written.add(entries[i]!)
  for (let i = 1; i < copies.length; i += 2) written.add(copies[i]!)
  const twice = (entries.length + copies.length) / 2 !== written.size
  if (twice) throw new LawBroken("writeOnce", "a launch writes a slot twice")
  for (let i = 0; i < copies.length; i += 2) {
    if (written.has(copies[i]!)) throw new LawBroken("writeOnce", "a launch reads a slot it writes")
  }
}

const buffersOf = (launch: Recording.Work): ReadonlyArray<Recording.Buffer> =>
  launch._tag === "Dispatch" ? Object.values(launch.bindings).map(({ slot }) => slot.buffer!) : []

/** A device over another; its layer is for one use. Memory that nobody has written is poison. */
export const device = (base: Shape, poison: Poison): Device => {
  const queue: Array<Recording.Work> = []
  const waiting: Array<() => void> = []
  const dead = new WeakSet<Recording.Buffer>()
  const dying: Array<Recording.Buffer> = []
  const idle: Array<() => void> = []
  const host = base.name === "cpu"
  let busy = 0
  let head = 0
  let [buffers, bytes] = [0, 0]

  /** Counts what is on its way to a device and back. */
  const counted = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    host ? effect : Effect.suspend(() => {
      busy++
      const over = Effect.sync(() => {
        if (--busy === 0) queueMicrotask(() => idle.splice(0).forEach((wake) => wake()))
      })
      return Effect.ensuring(effect, over)
    })

  const quiet: Effect.Effect<void> = host ? Effect.void : Effect.promise(async () => {
    while (busy > 0) await new Promise<void>((resolve) => idle.push(resolve))
  })

  const fill = (buffer: Recording.Buffer): void => {
    if (host) new Uint32Array(buffer.raw as ArrayBuffer, 0, buffer.bytes >> 2).fill(words[poison])
    else base.write(buffer, new Uint32Array(buffer.bytes >> 2).fill(words[poison]))
  }

  /** Outputs are unwritten until their launch. */
  const runNow = (launch: Recording.Work): Effect.Effect<void, DeviceError> => {
    ordered(launch)
    if (launch._tag === "Dispatch") {
      for (const { name, access } of launch.kernel.bindings) {
        if (access === "write") fill(launch.bindings[name]!.slot.buffer!)
      }
    }
    return base.submit([launch]) // one launch never yields
  }

  const drainTo = (end: number): Effect.Effect<void, DeviceError> =>
    Effect.suspend(() => {
      if (end <= head) return Effect.void
      const work = queue.slice(head, end)
      head = end
      made.ran.push(...work)
      const done = host
        ? Effect.forEach(work, (launch) => Effect.suspend(() => runNow(launch)), { discard: true })
        : base.submit(work)
      return Effect.ensuring(
        counted(done),
        Effect.sync(() => {
          // A GPU runs nothing on buffers that are gone.
          if (head === queue.length) { for (const buffer of dying.splice(0)) base.destroy(buffer) }
        }),
      )
    })

  const gate: Effect.Effect<void> = Effect.callback((resume) => {
    if (!made.gated) return resume(Effect.void)
    const pass = () => resume(Effect.void)
    waiting.push(pass)
    return Effect.sync(() => {
      const at = waiting.indexOf(pass)
      if (at >= 0) waiting.splice(at, 1)
    })
  })

  const living = (buffer: Recording.Buffer, what: string): void => {
    if (dead.has(buffer)) throw new LawBroken("noLeak", `a buffer is ${what}`)
  }

  const wrapped: Shape = {
    ...base,
    // What a GPU says of its buffers comes later than this tick; the submit that uses them waits for it.
    sound: () => Effect.void,
    create: (size) => {
      const created = base.create(size)
      if (created._tag === "Failure") return created
      fill(created.success)
      buffers++
      bytes += size
      return created
    },
    destroy: (buffer) => {
      living(buffer, "destroyed twice")
      dead.add(buffer)
      buffers--
      bytes -= buffer.bytes
      if (host || head === queue.length) base.destroy(buffer)
      else dying.push(buffer)
    },
    submit: (work) =>
      Effect.suspend(() => {
        const fault = made.faults.shift()
        const fail = Effect.suspend(() =>
          Effect.fail(new GpuFault({ kind: "internal", kernel: "a test", detail: fault! }))
        )
        for (const buffer of work.flatMap(buffersOf)) {
          living(buffer, "used after its end")
        }
        if (fault === "refused") return Effect.andThen(gate, fail)
        queue.push(...work)
        const end = queue.length
        const done = fault === "late" ? Effect.void : drainTo(end)
        const ended = Effect.andThen(gate, done)
        return fault === undefined ? ended : Effect.andThen(ended, fail)
      }),
    read: (buffer, bytes) =>
      Effect.andThen(
        host ? gate : Effect.void,
        Effect.suspend(() => {
          living(buffer, "read after its end")
          return counted(base.read(buffer, bytes))
        }),
      ),
  }

  const made: Device = {
    layer: Layer.succeed(Gpu.Service, wrapped),
    base,
    host,
    faults: [],
    gated: false,
    waiting,
    pause: gate,
    readers: host ? 1 : 16,
    beforeReads: host ? Effect.void : gate,
    tick: (i) => waiting.splice(i % waiting.length, 1)[0]?.(),
    quiet,
    drain: Effect.suspend(() => drainTo(queue.length)),
    ran: [],
    live: () => ({ buffers, bytes }),
  }
  return made
}

/** Runs a whole effect in this tick unless it waits at a gate. */
export const inOneTick: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = (
  effect,
) => Effect.provideService(effect, Scheduler.PreventSchedulerYield, true)
