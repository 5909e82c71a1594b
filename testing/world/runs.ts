/**
 * Runs of several cache effects as data, and what each must do to a world: what it reads is compared with
 * the naive model, what fails must fail with the right error and change nothing.
 *
 * @module
 */
import { Effect, type Fiber, Scope } from "effect"
import assert from "node:assert/strict"
import { type Attention, Gpu, KvCache, Lease, Program, type Recording } from "../../mod.ts"
import type { Snapshot } from "../../mod.ts"
import type { Act, Effect as Effectful } from "../acts.ts"
import { attend, gather, read, type Reading, type Value, verify } from "./readings.ts"
import { record } from "./storage.ts"
import * as World from "./world.ts"

/** A run: acts in order, one transaction. */
export interface Run {
  readonly lease: number
  readonly acts: ReadonlyArray<Act>
}

/** A body's own error. */
interface BodyFailed {
  readonly _tag: "BodyFailed"
  readonly message: string
}
const bodyFailed: BodyFailed = { _tag: "BodyFailed", message: "the body of a step failed" }

/** What one act leaves behind when the run lands. */
interface Done {
  /** Values it touched or made. */
  readonly values: ReadonlyArray<Value>
  readonly readings: ReadonlyArray<Reading>
}

/** What a lease guards once an effect on a value lands: it, its owed ancestors, and what these grew from. */
export const closure = ({ cache }: Value): ReadonlyArray<World.View> => {
  const views: Array<World.View> = [cache]
  for (let { node } = cache; node.tables === undefined; node = node.base!.node) {
    const base = node.base!
    const length = Math.max(base.length, node.at + node.count)
    if (node.rows !== undefined) views.push({ node, length, starts: base.starts })
    views.push(base)
  }
  return views
}

/** Why an effect on values, and what reads them, may fail. */
export type Failure =
  | BodyFailed
  | Attention.AttendError
  | KvCache.StepError
  | KvCache.WriteError
  | Program.RunError
  | Snapshot.TakeError
  | Snapshot.RestoreError

type Acting = Effect.Effect<
  Done,
  Failure,
  Gpu | Lease | Recording | Recording.Transaction | Scope.Scope
>

const step = (
  world: World.World,
  { rows, how }: Extract<Effectful, { kind: "step" }>,
  values: ReadonlyArray<Value>,
): Acting => {
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
      if (how === "fail") return yield* Effect.fail(bodyFailed)
      if (how !== "fetch") return { value: readings, kept }
      verify(world, readings[0]!, yield* Program.fetch(readings[0]!.tensor))
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
    case "make": {
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

/** Law 5: an effect on values fails for a reason, and says it with the right numbers. */
export const justified = (
  world: World.World,
  guard: World.Guard,
  act: Act | undefined,
  values: ReadonlyArray<Value>,
  sure: boolean,
  error: Failure,
): void => {
  World.count(world, `${act?.kind ?? "reading"} ${error._tag}`)
  const reason = (holds: boolean): void =>
    World.must(world, "noSilentCorruption", holds, () => `there is no reason for: ${error.message}`)
  switch (error._tag) {
    case "StaleCache":
      return World.must(
        world,
        "persistence",
        !sure,
        () => `a value that must live is stale: ${error.message}`,
      )
    case "LeaseClosed":
      return reason(!guard.owner.open)
    case "OutOfBlocks": {
      const { numFree, numBlocks } = world.arena.ledgers[error.group]!
      const { free, total, needed } = error
      return reason(free === numFree && total === numBlocks && needed > free)
    }
    case "CapacityExceeded": {
      const { needed, capacity } = error
      const lengths = act?.kind === "step"
        ? act.rows.map(({ count }, i) => values[i]!.cache.length + count)
        : [needed]
      const limit = KvCache.capacity(world.arena)
      return reason(capacity === limit && needed > capacity && lengths.includes(needed))
    }
    case "BodyFailed":
      return assert.ok(act?.kind === "step" && act.how === "fail")
    case "GpuFault":
      return reason(act?.kind === "step" && act.how === "fetch")
    case "InvalidArgument": // a ring needs two
      return reason(error.name === "the order of values" && world.running.size > 0)
    default:
      return reason(false)
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
        const steps = local.map(({ cache }) => cache)
          .filter(({ node }) => node.rows === undefined)
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
    const could = guard.owner.open || guarded.length === 0
    World.must(world, "noSilentCorruption", could, "a closed lease landed")
    for (const view of guarded) guard.whole.add(view)
    for (const value of local) if (!world.values.includes(value)) world.values.push(value)
    assert.equal(made.tensors.length, readings.length)
    yield* world.device.beforeReads
    const got = yield* Effect.forEach(readings, ({ tensor }) => Gpu.read(tensor), {
      concurrency: world.device.readers,
    })
    for (const [i, reading] of readings.entries()) verify(world, reading, got[i]!)
  })

/** Starts a run and goes on. */
export const begin = (
  world: World.World,
  run: Run,
  onLanding: () => void = () => {},
): Fiber.Fiber<void, unknown> => {
  const guard = World.guardAt(world, run.lease)
  const work = Lease.under(guard.owner)(body(world, guard, run, onLanding)).pipe(
    Effect.tapError((error) =>
      Effect.sync(() => {
        World.count(world, `run ${error._tag}`)
        const { message } = error
        const said = (holds: boolean): void =>
          World.must(world, "noSilentCorruption", holds, () => `there is no reason for: ${message}`)
        if (error._tag === "GpuFault") said(world.faulty)
        if (error._tag === "LeaseClosed") said(!guard.owner.open)
        said(error._tag !== "StaleTensor") // every tensor of a run is its own
      })
    ),
  )
  // Rows that a run makes live in its scope.
  const makesRows = run.acts.some(({ kind }) => kind === "make")
  return World.start(world, makesRows ? Scope.provide(work, world.scope) : Effect.scoped(work))
}

/** Runs it alone, to its end or to an interruption after some gates; what fails changes nothing. */
export const alone = (
  world: World.World,
  run: Run,
  interruptAfter: number | undefined,
): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* World.settled(world)
    const before = World.picture(world)
    let landed = false
    const fiber = begin(world, run, () => landed = true)
    let gates = 0
    yield* World.still(world)
    while (fiber.pollUnsafe() === undefined) {
      World.must(world, "noLeak", world.device.waiting.length > 0, "an effect never ends")
      if (gates++ === interruptAfter) fiber.interruptUnsafe()
      else world.device.tick(0)
      yield* World.still(world)
    }
    if (landed) return
    const same = World.picture(world) === before
    World.must(world, "atomicity", same, "what failed changed the books")
  })
