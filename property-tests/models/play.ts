/**
 * A small world for programs written out by hand: one layer, one element a row unless asked otherwise, values
 * that remember their rows, effects that run to their end or stop at a gate.
 *
 * @module
 */
import { Cause, Effect, Exit, type Fiber, Option, Result, type Scope } from "effect"
import assert from "node:assert/strict"
import {
  type Attention,
  Gpu,
  KvCache,
  type Layout,
  Lease,
  Program,
  type Recording,
} from "../../mod.ts"
import { isAppend } from "../../testing/world/device.ts"
import { attend, gather, read, type Value, verify } from "../../testing/world/readings.ts"
import * as World from "../../testing/world/world.ts"

/** An effect on caches. */
export type Act<A> = Effect.Effect<
  A,
  unknown,
  Lease | Recording | Recording.Transaction | Gpu | Scope.Scope
>

/** A fiber that was started, and how it ended. */
export interface Started<A> {
  readonly fiber: Fiber.Fiber<A, unknown>
  /** The value; everything has to be over. */
  readonly value: () => A
  /** Whether it failed; everything has to be over. */
  readonly failed: () => boolean
  /** The error. */
  readonly error: () => { readonly _tag: string; readonly message: string }
}

const outcome = <A>(fiber: Fiber.Fiber<A, unknown>): Started<A> => {
  const exit = (): Exit.Exit<A, unknown> => {
    const ended = fiber.pollUnsafe()
    assert.ok(ended !== undefined, "it is still waiting")
    return ended
  }
  return {
    fiber,
    value: () => {
      const ended = exit()
      if (Exit.isSuccess(ended)) return ended.value
      throw Cause.squash(ended.cause)
    },
    failed: () => Exit.isFailure(exit()),
    error: () => {
      const ended = exit()
      assert.ok(Exit.isFailure(ended), "it did not fail")
      const error = Option.getOrThrow(Cause.findErrorOption(ended.cause))
      return error as ReturnType<Started<A>["error"]>
    },
  }
}

/** What a program written out by hand does. Values are in the world, so `World.check` looks at them all. */
export interface Play {
  readonly world: World.World
  readonly empty: Value
  readonly append: (value: Value, n: number) => Value
  readonly write: (value: Value, at: number, n: number) => Value
  readonly truncate: (value: Value, length: number) => Value
  readonly dropBefore: (value: Value, position: number, group?: number) => Value
  readonly lease: () => World.Guard
  /** Starts a run; it stops at the first gate. */
  readonly start: <A>(lease: World.Guard, act: Act<A>) => Started<A>
  /** Runs to the end, everything else too. */
  readonly run: <A>(lease: World.Guard, act: Act<A>) => Started<A>
  /** `realize`, to the end. */
  readonly realize: (lease: World.Guard, ...values: ReadonlyArray<Value>) => void
  /** Gathers, attends in every group, and compares. */
  readonly reads: (lease: World.Guard, value: Value) => void
  /** `keep`, refused if need be. */
  readonly keep: (lease: World.Guard, ...values: ReadonlyArray<Value>) => void
  /** Inside a step: writes rows of these numbers in every layer, and attends. */
  readonly attend: (
    step: KvCache.Step,
    values: ReadonlyArray<Value>,
    made: ReadonlyArray<ReadonlyArray<number>>,
  ) => Effect.Effect<void, Attention.AttendError, Recording>
  /** One step of one submit, to the end. */
  readonly step: (
    lease: World.Guard,
    rows: ReadonlyArray<readonly [value: Value, count: number, kept?: number]>,
  ) => ReadonlyArray<Value>
  /** Free blocks of each group. */
  readonly free: () => ReadonlyArray<number>
  /** Slots copied by append launches so far, each counted once. */
  readonly copied: () => number
  /** Closes everything; nothing may be left. */
  readonly end: () => void
}

const small = { layers: 1, keyHeads: 1, keyDim: 1, blockSize: 4 }

/** A world of `numBlocks` blocks in each group, or one number each. */
export const play = (
  options: Partial<Layout.Options> = {},
  numBlocks: number | ReadonlyArray<number> = 8,
): Play => {
  const layout = { ...small, ...options }
  const world = World.make({
    layout,
    numBlocks: (layout.groups ?? [0]).map((_, group) =>
      typeof numBlocks === "number" ? numBlocks : numBlocks[group]!
    ),
  })
  const { arena } = world
  const add = (made: Result.Result<KvCache, unknown>, rows: ReadonlyArray<number>): Value => {
    const value = { cache: Result.getOrThrow(made), rows }
    world.values.push(value)
    return value
  }
  const seen = ({ cache, rows }: Value) => rows.slice(0, cache.length)
  const write = (value: Value, at: number, n: number): Value => {
    const ids = World.rows(world, n)
    const before = seen(value)
    const rows = [...before.slice(0, at), ...ids, ...before.slice(at + n)]
    return add(KvCache.write(value.cache, at, World.uploaded(world, ids)), rows)
  }
  const start: Play["start"] = (lease, act) =>
    outcome(World.start(world, Effect.scoped(Lease.under(lease.owner)(Program.run(act)))))
  const run: Play["run"] = (lease, act) => {
    const started = start(lease, act)
    World.settle(world)
    World.check(world)
    return started
  }
  const attendAll: Play["attend"] = (given, values, made) =>
    Effect.forEach(
      Array.from({ length: arena.layout.layers }, (_, layer) => layer),
      (layer) => attend(given, layer, values, made),
      { discard: true },
    )
  const step: Play["step"] = (lease, rows) => {
    const values = rows.map(([value]) => value)
    const counts = rows.map(([, count]) => count)
    const kept = rows.map(([, count, kept = count]) => kept)
    const made = counts.map((n) => World.rows(world, n))
    const body = (given: KvCache.Step) =>
      Effect.as(attendAll(given, values, made), { value: undefined, kept })
    const { caches } = run(lease, KvCache.step(values.map(({ cache }) => cache), counts, body))
      .value()
    return caches.map((cache, i) =>
      add(Result.succeed(cache), [...seen(values[i]!), ...made[i]!.slice(0, kept[i])])
    )
  }
  return {
    world,
    empty: world.values[0]!,
    append: (value, n) => write(value, value.cache.length, n),
    write,
    truncate: (value, length) =>
      add(KvCache.truncate(value.cache, length), seen(value).slice(0, length)),
    dropBefore: (value, position, group = 0) =>
      add(KvCache.dropBefore(value.cache, position, group), seen(value)),
    lease: () => World.open(world),
    start,
    run,
    realize: (lease, ...values) =>
      run(lease, KvCache.realize(values.map(({ cache }) => cache))).value(),
    reads: (lease, value) => {
      const all = Effect.all([
        gather(value),
        ...arena.ledgers.map((_, group) => read(value, group)),
      ])
      const compared = Effect.scoped(
        Effect.flatMap(
          Program.run(Effect.map(all, (readings) => readings.flat())),
          (readings) =>
            Effect.forEach(
              readings,
              (reading) =>
                Effect.map(Gpu.read(reading.tensor), (got) => verify(world, reading, got)),
            ),
        ),
      )
      const started = outcome(World.start(world, Lease.under(lease.owner)(compared)))
      World.settle(world)
      started.value()
    },
    keep: (lease, ...values) => {
      World.keep(world, lease, values)
      World.check(world)
    },
    attend: attendAll,
    step,
    free: () => arena.ledgers.map(({ numFree }) => numFree),
    copied: () =>
      world.device.ran.filter(isAppend).reduce((sum, { params }) => sum + params["copies"]!, 0) /
      2 / arena.layout.layers, // keys and values, in every layer
    end: () => World.end(world),
  }
}
