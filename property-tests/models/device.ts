/**
 * A CPU device that a test drives by hand: submits wait at gates until somebody lets them through, fail when
 * told to, and run in the order of a queue, as on a GPU: also for a caller that is gone.
 *
 * @module
 */
import { Effect, Layer, Scheduler } from "effect"
import assert from "node:assert/strict"
import { Gpu, GpuFault, type Recording } from "../../mod.ts"

type Shape = Gpu.GpuShape

/**
 * What goes wrong with one submit: it is `refused` and never runs, it `ran` and fails, or it fails and runs
 * only when somebody else's work is through (`late`).
 */
export type Fault = "refused" | "ran" | "late"

/** The handles of a test. */
export interface Device {
  readonly layer: Layer.Layer<Gpu>
  /** Faults of the next submits, in order; past the end they succeed. */
  readonly faults: Array<Fault | undefined>
  /** Without gates nothing waits. */
  gated: boolean
  /** Effects that wait at a gate. */
  readonly waiting: ReadonlyArray<() => void>
  /** Waits at a gate. */
  readonly pause: Effect.Effect<void>
  /** Lets one of them through: the i-th, counted round. */
  readonly tick: (i: number) => void
  /** Runs whatever the queue still holds. */
  readonly drain: () => void
  /** Launches that have run. */
  readonly ran: Array<Recording.Work>
}

const words = (launch: Recording.Dispatch, name: string): Uint32Array => {
  const { slot, shape } = launch.bindings[name]!
  return new Uint32Array(slot.buffer!.raw as ArrayBuffer, 0, shape[0]! * shape[1]!)
}

/** Is it one of the kernels that write into a pool? */
export const isAppend = (launch: Recording.Work): launch is Recording.Dispatch =>
  launch._tag === "Dispatch" && launch.kernel.spec.name.startsWith("append_")

/** Threads of a launch run in any order, so none may read what another writes. */
const ordered = (launch: Recording.Work): void => {
  if (!isAppend(launch)) return
  const [entries, copies] = [words(launch, "entries"), words(launch, "copies")]
  const odd = (_: number, i: number): boolean => i % 2 === 1
  const written = [...entries.filter(odd), ...copies.filter(odd)]
  assert.equal(new Set(written).size, written.length, "a launch writes a slot twice")
  const read = copies.filter((_, i) => i % 2 === 0)
  const both = read.filter((slot) => written.includes(slot))
  assert.deepEqual([...both], [], "a launch reads a slot it writes")
}

/** A device; its layer is for one use. */
export const device = (): Device => {
  const queue: Array<() => void> = []
  const waiting: Array<() => void> = []
  const dead = new WeakSet<Recording.Buffer>()
  const drainTo = (end: number): void => {
    while (head < end) queue[head++]!()
  }
  let head = 0

  const gate: Effect.Effect<void> = Effect.callback((resume) => {
    if (!made.gated) return resume(Effect.void)
    const pass = () => resume(Effect.void)
    waiting.push(pass)
    return Effect.sync(() => {
      const at = waiting.indexOf(pass)
      if (at >= 0) waiting.splice(at, 1)
    })
  })

  const wrap = (gpu: Shape): Shape => ({
    ...gpu,
    destroy: (buffer) => {
      assert.ok(!dead.has(buffer), "a buffer is destroyed twice")
      dead.add(buffer)
      gpu.destroy(buffer)
    },
    submit: (work) =>
      Effect.suspend(() => {
        const fault = made.faults.shift()
        const fail = Effect.suspend(() =>
          Effect.fail(new GpuFault({ kind: "internal", kernel: "a test", detail: fault! }))
        )
        for (const launch of work) {
          for (const { slot } of launch._tag === "Dispatch" ? Object.values(launch.bindings) : []) {
            assert.ok(!dead.has(slot.buffer!), "a buffer is used after its end")
          }
        }
        if (fault === "refused") return Effect.andThen(gate, fail)
        for (const launch of work) {
          queue.push(() => {
            ordered(launch)
            made.ran.push(launch)
            Effect.runSync(gpu.submit([launch])) // one launch never yields
          })
        }
        const end = queue.length
        const done = Effect.sync(() => fault === "late" ? undefined : drainTo(end))
        const ended = Effect.andThen(gate, done)
        return fault === undefined ? ended : Effect.andThen(ended, fail)
      }),
    read: (buffer, bytes) =>
      Effect.andThen(
        gate,
        Effect.suspend(() => {
          assert.ok(!dead.has(buffer), "a buffer is read after its end")
          return gpu.read(buffer, bytes)
        }),
      ),
  })

  const made: Device = {
    layer: Layer.effect(Gpu.Service, Effect.map(Gpu.Service, wrap)).pipe(
      Layer.provide(Gpu.layerCpu({ poison: true })),
    ),
    faults: [],
    gated: false,
    waiting,
    pause: gate,
    tick: (i) => waiting.splice(i % waiting.length, 1)[0]?.(),
    drain: () => drainTo(queue.length),
    ran: [],
  }
  return made
}

/** Runs a whole effect in this tick unless it waits at a gate. */
export const inOneTick: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = (
  effect,
) => Effect.provideService(effect, Scheduler.PreventSchedulerYield, true)
