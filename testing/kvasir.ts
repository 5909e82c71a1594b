/** The caches of this package, on any of its devices, as what programs are played on. @module */
import { Context, Effect, Layer, Result, type Scope } from "effect"
import { Gpu, KvCache } from "../mod.ts"
import { attempt, gather, read } from "./acts.ts"
import type { Tally } from "./laws.ts"
import type { Player, Stage, Verb } from "./player.ts"
import { config as configs, fewConfigs } from "./world/configs.ts"
import { inOneTick } from "./world/device.ts"
import * as Questions from "./world/questions.ts"
import type { Value } from "./world/readings.ts"
import { alone, begin } from "./world/runs.ts"
import * as World from "./world/world.ts"

const verbs: ReadonlyArray<Verb> = [
  ...["append", "write", "fork", "truncate", "drop", "run", "begin", "tick"] as const,
  ...["interrupt", "fail", "open", "keep", "close", "snapshot", "attend", "merge"] as const,
]

type Expected = "ok" | "InvalidArgument" | "CapacityExceeded"

/** A pure write: fails exactly when the naive model says so, and else is one more value. */
const pure = (
  world: World.World,
  expected: Expected,
  made: Result.Result<KvCache, KvCache.WriteError>,
  rows: ReadonlyArray<number>,
): void => {
  const got = Result.isSuccess(made) ? "ok" : made.failure._tag
  World.must(world, "noSilentCorruption", got === expected, `a write is ${got}, not ${expected}`)
  World.count(world, `pure ${expected}`)
  if (!Result.isSuccess(made)) return
  const { length } = made.success
  World.must(
    world,
    "oneOracle",
    length === rows.length,
    `a length of ${length}, not ${rows.length}`,
  )
  world.values.push({ cache: made.success, rows })
}

const seen = ({ cache, rows }: Value): ReadonlyArray<number> => rows.slice(0, cache.length)

const write = (world: World.World, value: Value, at: number, count: number): void => {
  const { cache } = value
  const ids = World.rows(world, count)
  const before = seen(value)
  const rows = [...before.slice(0, at), ...ids, ...before.slice(at + count)]
  const outside = at < Math.max(...cache.starts) || at > cache.length
  const over = at + count > KvCache.capacity(world.arena)
  const made = KvCache.write(cache, at, World.uploaded(world, ids))
  pure(world, outside ? "InvalidArgument" : over ? "CapacityExceeded" : "ok", made, rows)
}

const truncate = (world: World.World, value: Value, length: number): void => {
  const { cache } = value
  const outside = length < Math.max(...cache.starts) || length > cache.length
  const made = KvCache.truncate(cache, length)
  pure(world, outside ? "InvalidArgument" : "ok", made, seen(value).slice(0, Math.max(0, length)))
}

const drop = (world: World.World, value: Value, more: number, group: number): void => {
  const { cache } = value
  const position = (cache.starts[group] ?? 0) + more
  const outside = position > cache.length || group >= world.arena.layout.groups.length
  const made = KvCache.dropBefore(cache, position, group)
  pure(world, outside ? "InvalidArgument" : "ok", made, seen(value))
}

/** Reads every value once more, a few in a run, under a last lease. */
const readAll = (world: World.World): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* World.settled(world)
    world.device.faults.length = 0
    world.device.gated = false
    World.open(world)
    const lease = world.guards.filter(({ owner }) => owner.open).length - 1
    const different = new Map([...world.values.entries()].map(([i, { cache }]) => [cache, i]))
    const values = [...different.values()].map((i) => world.values.length - 1 - i)
    for (let from = 0; from < values.length; from += 4) {
      const acts = values.slice(from, from + 4).flatMap((value) => [
        attempt(gather(value)),
        ...world.arena.layout.groups.map((_, group) => attempt(read(value, group))),
      ])
      yield* alone(world, { lease, acts }, undefined)
      yield* World.checked(world, false)
    }
  })

/** Commands between which all memory is looked at, where that means to bring it to the host. */
const rarely = 8

/** A player in a world. */
export const playerOf = (world: World.World): Player => {
  let played = 0
  const value = (i: number): Value => World.valueAt(world, i)
  const guard = (i: number): World.Guard => World.guardAt(world, i)
  const now = (effect: Effect.Effect<void>): Promise<void> => Effect.runPromise(inOneTick(effect))
  const plain = (work: () => void): Promise<void> => now(Effect.sync(work))
  return {
    before: () => World.recycle(world),
    check: () => now(World.checked(world, ++played % rarely === 0)),
    end: () => now(Effect.andThen(readAll(world), World.ended(world))),
    append: (i, count) => plain(() => write(world, value(i), value(i).cache.length, count)),
    write: (i, back, count) =>
      plain(() => write(world, value(i), Math.max(0, value(i).cache.length - back), count)),
    fork: (i) => plain(() => void world.values.push(value(i))),
    truncate: (i, back) => plain(() => truncate(world, value(i), value(i).cache.length - back)),
    drop: (i, more, group) => plain(() => drop(world, value(i), more, group)),
    run: (lease, acts, stop) => now(alone(world, { lease, acts }, stop)),
    begin: (lease, acts) =>
      now(Effect.suspend(() => {
        begin(world, { lease, acts })
        return World.still(world)
      })),
    tick: (i) =>
      now(Effect.suspend(() => {
        if (world.device.waiting.length > 0) world.device.tick(i)
        return World.still(world)
      })),
    interrupt: (i) =>
      now(Effect.suspend(() => {
        const running = [...world.running]
        if (running.length > 0) running[i % running.length]!.interruptUnsafe()
        return World.still(world)
      })),
    fail: (fault) =>
      plain(() => {
        world.device.faults.push(fault)
        world.faulty = true
      }),
    open: () => plain(() => void World.open(world)),
    keep: (lease, values) => plain(() => World.keep(world, guard(lease), values.map(value))),
    close: (lease) => plain(() => World.close(guard(lease))),
    snapshot: (lease, i) => now(Questions.snapshot(world, guard(lease), value(i))),
    attend: (lease, values, question) =>
      now(Questions.attend(world, guard(lease), values.map(value), question)),
    merge: (lease, i, cuts) => now(Questions.merge(world, guard(lease), value(i), cuts)),
  }
}

const stage = (
  name: string,
  of: Stage<World.Config>["configs"],
  open: (config: World.Config, tally: Tally) => Promise<World.World>,
): Stage<World.Config> => ({
  name,
  configs: of,
  can: new Set(verbs),
  unchecked: new Map(),
  open: async (config, tally) => playerOf(await open(config, tally)),
})

/** On a new CPU device for each program: everything happens in the tick of the call, and is looked at after each. */
export const kvasir: Stage<World.Config> = stage(
  "kvasir",
  configs,
  (config, tally) => Promise.resolve(World.make(config, tally)),
)

/** On one device of a layer for all programs, which lives as long as the scope. `name` is what programs call it. */
export const kvasirOn = <E>(
  name: string,
  layer: Layer.Layer<Gpu, E>,
): Effect.Effect<Stage<World.Config>, E, Scope.Scope> =>
  Effect.map(Layer.build(layer), (context) => {
    const gpu = Context.get(context, Gpu.Service)
    const open = (config: World.Config, tally: Tally) =>
      Promise.resolve(World.on(gpu, config, tally))
    return stage(name, gpu.name === "cpu" ? configs : fewConfigs, open)
  })
