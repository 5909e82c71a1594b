/**
 * Runs of several cache effects as data, and what each must do to a world: what it reads is compared with
 * the naive model, what fails must fail with the right error and change nothing.
 *
 * @module
 */
import { Data, Effect, type Fiber, Scope } from "effect"
import assert from "node:assert/strict"
import { Gpu, KvCache, Lease, Program } from "../../mod.ts"
import type { Fault } from "./device.ts"
import { attend, gather, read, type Reading, type Value, verify } from "./readings.ts"
import { record } from "./storage.ts"
import * as World from "./world.ts"

/** One row of a step. */
export interface StepRow {
  readonly value: number
  readonly count: number
  readonly kept: number
}

/** An effect on caches. Values are counted back from the newest, those of this run included. */
export type Act =
  | { readonly kind: "realize"; readonly values: ReadonlyArray<number> }
  | { readonly kind: "gather"; readonly value: number }
  | { readonly kind: "read"; readonly value: number; readonly group: number }
  /** Appends rows that the run itself makes. */
  | { readonly kind: "append"; readonly value: number; readonly count: number }
  | {
    readonly kind: "step"
    readonly rows: ReadonlyArray<StepRow>
    /** `fetch`: asks for a value inside. `fail`: fails after its launches. `leak`: others see its result at once. */
    readonly how: "plain" | "fetch" | "fail" | "leak"
  }

/** A run: acts in order, one transaction. */
export interface Run {
  readonly lease: number
  /** A failing act that is caught lets the run go on. */
  readonly acts: ReadonlyArray<Act & { readonly caught: boolean }>
  readonly faults: ReadonlyArray<Fault | undefined>
}

/** A body's own error. */
class BodyFailed extends Data.TaggedError("BodyFailed")<{ readonly tokens: number }> {}

/** What one act leaves behind when the run lands. */
interface Done {
  /** Values it touched or made. */
  readonly values: ReadonlyArray<Value>
  readonly readings: ReadonlyArray<Reading>
}

/** What a lease guards once an effect on a value lands: it, its owed ancestors, and what these grew from. */
const closure = ({ cache }: Value): ReadonlyArray<World.View> => {
  const views: Array<World.View> = [cache]
  for (let { node } = cache; node.tables === undefined; node = node.base!.node) {
    const base = node.base!
    const length = Math.max(base.length, node.at + node.count)
    if (node.rows !== undefined) views.push({ node, length, starts: base.starts })
    views.push(base)
  }
  return views
}

const step = (
  world: World.World,
  { rows, how }: Extract<Act, { kind: "step" }>,
  values: ReadonlyArray<Value>,
) => {
  const counts = rows.map(({ count }) => count)
  const kept = rows.map(({ count, kept }) => Math.min(count, kept))
  const made = counts.map((n) => World.rows(world, n))
  const body = (given: KvCache.Step) =>
    Effect.gen(function* () {
      const readings: Array<Reading> = []
      for (let layer = 0; layer < world.arena.layout.layers; layer++) {
        readings.push(...(yield* attend(given, layer, values, made)))
        yield* world.device.pause
      }
      if (how === "fail") return yield* new BodyFailed({ tokens: made.flat().length })
      if (how !== "fetch") return { value: readings, kept }
      verify(readings[0]!, yield* Program.fetch(readings[0]!.tensor))
      return { value: [], kept }
    })
  return Effect.map(
    KvCache.step(values.map(({ cache }) => cache), counts, body),
    ({ caches, value }): Done => {
      const next = caches.map((cache, i) => {
        const { cache: { length }, rows } = values[i]!
        return { cache, rows: [...rows.slice(0, length), ...made[i]!.slice(0, kept[i])] }
      })
      if (how === "leak") world.values.push(...next)
      return { values: next, readings: value }
    },
  )
}

type Stepping = ReturnType<typeof step>
type Failure = Effect.Error<Stepping> | KvCache.WriteError
type Acting = Effect.Effect<Done, Failure, Effect.Services<Stepping>>

/** An act, and the values it is about. */
const perform = (
  world: World.World,
  act: Act,
  at: (i: number) => Value,
): { readonly values: ReadonlyArray<Value>; readonly effect: Acting } => {
  switch (act.kind) {
    case "realize": {
      const values = act.values.map(at)
      const done = KvCache.realize(values.map(({ cache }) => cache))
      return { values, effect: Effect.map(done, (): Done => ({ values: [], readings: [] })) }
    }
    case "gather": {
      const value = at(act.value)
      const done = gather(value)
      return {
        values: [value],
        effect: Effect.map(done, (readings): Done => ({ values: [], readings })),
      }
    }
    case "read": {
      const value = at(act.value)
      const done = read(value, act.group % world.arena.layout.groups.length)
      return {
        values: [value],
        effect: Effect.map(done, (readings): Done => ({ values: [], readings })),
      }
    }
    case "append": {
      const value = at(act.value)
      const ids = World.rows(world, act.count)
      const done = Effect.suspend(() =>
        Effect.fromResult(KvCache.append(value.cache, record(world.arena.layout, ids)))
      )
      const made = (cache: KvCache) => ({
        cache,
        rows: [...value.rows.slice(0, value.cache.length), ...ids],
      })
      return {
        values: [],
        effect: Effect.map(done, (cache): Done => ({ values: [made(cache)], readings: [] })),
      }
    }
    case "step": {
      const values = act.rows.map(({ value }) => at(value))
      return { values, effect: step(world, act, values) }
    }
  }
}

/** Law 5: an act fails for a reason, and says it with the right numbers. */
const justified = (
  world: World.World,
  guard: World.Guard,
  act: Act,
  values: ReadonlyArray<Value>,
  sure: boolean,
  error: Failure,
): void => {
  World.count(world, `${act.kind} ${error._tag}`)
  switch (error._tag) {
    case "StaleCache":
      return assert.ok(!sure, `law 1: a value that must live is stale: ${error.message}`)
    case "LeaseClosed":
      return assert.ok(!guard.owner.open, "law 5: the lease is open")
    case "OutOfBlocks": {
      const { numFree, numBlocks } = world.arena.ledgers[error.group]!
      assert.deepEqual([error.free, error.total], [numFree, numBlocks], "law 5: OutOfBlocks")
      return assert.ok(error.needed > error.free, "law 5: there are blocks enough")
    }
    case "CapacityExceeded": {
      const { needed, capacity } = error
      assert.equal(capacity, KvCache.capacity(world.arena))
      const lengths = act.kind === "step"
        ? act.rows.map(({ count }, i) => values[i]!.cache.length + count)
        : [needed]
      return assert.ok(needed > capacity && lengths.includes(needed), "law 5: CapacityExceeded")
    }
    case "BodyFailed":
      return assert.ok(act.kind === "step" && act.how === "fail")
    case "GpuFault":
      return assert.ok(act.kind === "step" && act.how === "fetch", "law 5: nothing was submitted")
    case "InvalidArgument":
      assert.equal(error.name, "the order of values", `law 5: ${error.message}`)
      return assert.ok(world.running.size > 0, "law 5: a ring needs two")
    default:
      assert.fail(`law 5: ${error.message}`)
  }
}

/** The run as an effect: its acts, then what it reads compared. */
const body = (world: World.World, guard: World.Guard, run: Run, onLanding: () => void) =>
  Effect.gen(function* () {
    const before = [...world.values]
    const local: Array<Value> = []
    const touched: Array<World.View> = []
    let readings: Array<Reading> = []
    const at = (i: number): Value => {
      const all = [...before, ...local]
      return all[all.length - 1 - i % all.length]!
    }
    const acts = Effect.forEach(run.acts, (act) =>
      Effect.suspend(() => {
        const { values, effect } = perform(world, act, at)
        const steps = new Set(
          local.filter(({ cache }) => cache.node.rows === undefined)
            .map(({ cache }) => cache.node),
        )
        const sure = values.every(({ cache }) => World.alive(world, cache, steps))
        const views = values.flatMap(closure)
        // What was recorded before a fetch can no longer be read after it.
        if (act.kind === "step" && act.how === "fetch") readings = []
        const done = Effect.tap(effect, (done) =>
          Effect.sync(() => {
            readings.push(...done.readings)
            touched.push(...views, ...done.values.map(({ cache }) => cache))
            local.push(...done.values)
          })).pipe(
            Effect.tapError((error) =>
              Effect.sync(() => justified(world, guard, act, values, sure, error))
            ),
            Effect.andThen(world.device.pause),
          )
        return act.caught ? Effect.ignore(done) : done
      }), { discard: true })
    const made = yield* Program.run(
      Effect.map(acts, () => ({
        tensors: readings.map(({ tensor }) => tensor),
        caches: local.map(({ cache }) => cache),
      })),
    )
    // The same tick as the landing: nobody can have closed or kept anything since.
    onLanding()
    for (const { kind } of run.acts) World.count(world, `${kind} landed`)
    const guarded = touched.filter(({ node }) => node.tables !== undefined) // no lease holds owed rows
    assert.ok(guard.owner.open || guarded.length === 0, "a closed lease cannot land")
    for (const view of guarded) guard.whole.add(view)
    for (const value of local) if (!world.values.includes(value)) world.values.push(value)
    assert.equal(made.tensors.length, readings.length)
    for (const reading of readings) verify(reading, yield* Gpu.read(reading.tensor))
  })

/** Starts a run and goes on. */
export const begin = (
  world: World.World,
  run: Run,
  onLanding: () => void = () => {},
): Fiber.Fiber<void, unknown> => {
  const guard = World.guardAt(world, run.lease)
  world.device.faults.push(...run.faults)
  world.faulty ||= run.faults.length > 0
  const work = Lease.under(guard.owner)(body(world, guard, run, onLanding)).pipe(
    Effect.tapError((error) =>
      Effect.sync(() => {
        World.count(world, `run ${error._tag}`)
        if (error._tag === "GpuFault") assert.ok(world.faulty, `law 5: ${error.message}`)
        if (error._tag === "LeaseClosed") assert.ok(!guard.owner.open, `law 5: ${error.message}`)
        assert.notEqual(error._tag, "StaleTensor", "law 5: every tensor of a run is its own")
      })
    ),
  )
  // Rows that a run makes live in its scope.
  const makesRows = run.acts.some(({ kind }) => kind === "append")
  return World.start(world, makesRows ? Scope.provide(work, world.scope) : Effect.scoped(work))
}

/** Runs it alone, to its end or to an interruption after some gates; what fails changes nothing. */
export const alone = (world: World.World, run: Run, interruptAfter: number | undefined): void => {
  World.settle(world)
  const before = World.picture(world)
  let landed = false
  const fiber = begin(world, run, () => landed = true)
  let gates = 0
  while (fiber.pollUnsafe() === undefined) {
    assert.ok(world.device.waiting.length > 0, "an effect never ends")
    if (gates++ === interruptAfter) fiber.interruptUnsafe()
    else world.device.tick(0)
  }
  world.device.faults.length = 0
  if (!landed) assert.deepEqual(World.picture(world), before, "law 4: what failed changed nothing")
}
