/**
 * Programs over leases, values and runs, with faults and any interleaving, as fast-check commands that print
 * as they read.
 *
 * @module
 */
import { Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { KvCache } from "../../mod.ts"
import type { Fault } from "../models/device.ts"
import type { Value } from "../models/readings.ts"
import { type Act, alone, begin, type Run } from "../models/runs.ts"
import * as World from "../models/world.ts"

/** The commands need no model of their own: it is in the world. */
export type Model = Record<never, never>
/** One step of a program. */
export type Command = fc.Command<Model, World.World>

const command = (text: string, run: (world: World.World) => void): Command => ({
  check: () => true,
  run: (_, world) => {
    run(world)
    World.check(world)
  },
  toString: () => text,
})

/** A pure write: fails exactly when the naive model says so, and else is one more value. */
const pure = (
  world: World.World,
  expected: "ok" | "InvalidArgument" | "CapacityExceeded",
  made: Result.Result<KvCache, KvCache.WriteError>,
  rows: ReadonlyArray<number>,
): void => {
  assert.equal(Result.isSuccess(made) ? "ok" : made.failure._tag, expected, "law 5: pure writes")
  World.count(world, `pure ${expected}`)
  if (Result.isSuccess(made)) {
    assert.equal(made.success.length, rows.length)
    world.values.push({ cache: made.success, rows })
  }
}

const seen = ({ cache, rows }: Value): ReadonlyArray<number> => rows.slice(0, cache.length)

const write = (world: World.World, value: Value, at: number, n: number): void => {
  const { cache } = value
  const ids = World.rows(world, n)
  const before = seen(value)
  const rows = [...before.slice(0, at), ...ids, ...before.slice(at + n)]
  const outside = at < Math.max(...cache.starts) || at > cache.length
  const over = at + n > KvCache.capacity(world.arena)
  const made = KvCache.write(cache, at, World.uploaded(world, ids))
  pure(world, outside ? "InvalidArgument" : over ? "CapacityExceeded" : "ok", made, rows)
}

const truncate = (world: World.World, value: Value, length: number): void => {
  const { cache } = value
  const outside = length < Math.max(...cache.starts) || length > cache.length
  const made = KvCache.truncate(cache, length)
  pure(world, outside ? "InvalidArgument" : "ok", made, seen(value).slice(0, Math.max(0, length)))
}

const dropBefore = (world: World.World, value: Value, position: number, group: number): void => {
  const outside = position > value.cache.length || group >= world.arena.layout.groups.length
  const made = KvCache.dropBefore(value.cache, position, group)
  pure(world, outside ? "InvalidArgument" : "ok", made, seen(value))
}

const showAct = (act: Act & { readonly caught: boolean }): string => {
  const text = () => {
    switch (act.kind) {
      case "realize":
        return `realize([${act.values}])`
      case "gather":
        return `gather(${act.value})`
      case "read":
        return `read(${act.value}, g${act.group})`
      case "append":
        return `append(${act.value}, ${act.count})`
      case "step": {
        const rows = act.rows.map(({ value, count, kept }) =>
          `${value} +${count} kept ${Math.min(count, kept)}`
        )
        return `step([${rows}]${act.how === "plain" ? "" : `, ${act.how}`})`
      }
    }
  }
  return act.caught ? `try ${text()}` : text()
}

const showRun = (run: Run): string => {
  const faults = run.faults.map((fault) => `, ${fault ?? "ok"}`).join("")
  return `run(L${run.lease}, ${run.acts.map(showAct).join("; ")}${faults}`
}

const index = fc.nat(5)
const lease = fc.integer({ min: -1, max: 4 })
const some = fc.array(index, { minLength: 1, maxLength: 3 })

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("realize"), values: some }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("gather"), value: index }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("read"), value: index, group: fc.nat(1) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("append"),
      value: index,
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("step"),
      rows: fc.array(fc.record({ value: index, count: fc.nat(5), kept: fc.nat(5) }), {
        minLength: 1,
        maxLength: 3,
      }),
      how: fc.constantFrom("plain", "plain", "fetch", "fail", "leak"),
    }),
  },
)

const fault = fc.constantFrom<Fault | undefined>(undefined, "refused", "ran", "late")

const run: fc.Arbitrary<Run> = fc.record({
  lease,
  acts: fc.array(
    fc.tuple(act, fc.constantFrom(false, false, true)).map(([act, caught]) => ({ ...act, caught })),
    { minLength: 1, maxLength: 3 },
  ),
  faults: fc.oneof(
    { weight: 4, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(fault, { minLength: 1, maxLength: 2 }) },
  ),
}).filter(({ acts }) =>
  // Rows that a failed run made are gone, and so must be what was made of them.
  !(acts.some(({ kind }) => kind === "append") &&
    acts.some((act) => act.kind === "step" && act.how === "leak"))
)

const commands: ReadonlyArray<fc.Arbitrary<Command>> = [
  ...[1, 2].map(() =>
    fc.tuple(index, fc.integer({ min: 1, max: 6 })).map(([i, n]) =>
      command(`append(${i}, ${n})`, (world) => {
        const value = World.valueAt(world, i)
        write(world, value, value.cache.length, n)
      })
    )
  ),
  fc.tuple(index, fc.integer({ min: -1, max: 6 }), fc.integer({ min: 1, max: 4 })).map(
    ([i, back, n]) =>
      command(`write(${i}, length - ${back}, ${n})`, (world) => {
        const value = World.valueAt(world, i)
        write(world, value, Math.max(0, value.cache.length - back), n)
      }),
  ),
  fc.tuple(index, fc.integer({ min: -1, max: 6 })).map(([i, back]) =>
    command(`truncate(${i}, length - ${back})`, (world) => {
      const value = World.valueAt(world, i)
      truncate(world, value, value.cache.length - back)
    })
  ),
  fc.tuple(index, fc.nat(7), fc.nat(1)).map(([i, more, group]) =>
    command(`dropBefore(${i}, start + ${more}, g${group})`, (world) => {
      const value = World.valueAt(world, i)
      dropBefore(world, value, (value.cache.starts[group] ?? 0) + more, group)
    })
  ),
  ...[1, 2].map(() =>
    fc.tuple(run, fc.option(fc.nat(4), { freq: 4, nil: undefined })).map(([run, stop]) =>
      command(
        `${showRun(run)}${stop === undefined ? "" : `, interrupted after ${stop} gates`})`,
        (world) => alone(world, run, stop),
      )
    )
  ),
  ...[1, 2].map(() =>
    run.map((run) => command(`${showRun(run)}, async)`, (world) => void begin(world, run)))
  ),
  fc.tuple(lease, some).map(([l, is]) =>
    command(
      `keep(L${l}, [${is}])`,
      (world) => World.keep(world, World.guardAt(world, l), is.map((i) => World.valueAt(world, i))),
    )
  ),
  fc.constant(command("open", (world) => void World.open(world))),
  lease.map((l) => command(`close(L${l})`, (world) => World.close(World.guardAt(world, l)))),
  ...[1, 2, 3].map(() =>
    index.map((i) =>
      command(`tick(${i})`, (world) => {
        if (world.device.waiting.length > 0) world.device.tick(i)
      })
    )
  ),
  index.map((i) =>
    command(`interrupt(${i})`, (world) => {
      const running = [...world.running]
      if (running.length > 0) running[i % running.length]!.interruptUnsafe()
    })
  ),
]

/** Programs of at most so many commands. */
export const programs = (maxCommands: number): fc.Arbitrary<Iterable<Command>> =>
  fc.commands([...commands], { maxCommands, size: "max" })

/** Runs a program in a new world, reads every value again at the end, and leaves nothing behind. */
export const runProgram = (
  config: World.Config,
  program: Iterable<Command>,
  outcomes: Map<string, number>,
): void => {
  const world = World.make(config, outcomes)
  fc.modelRun(() => ({ model: {}, real: world }), program)
  World.settle(world)
  world.device.faults.length = 0
  const last = World.open(world)
  const lease = world.guards.filter(({ owner }) => owner.open).indexOf(last)
  for (const i of world.values.keys()) {
    const acts = world.arena.layout.groups.map((_, group) => ({
      kind: "read" as const,
      value: i,
      group,
      caught: true,
    }))
    alone(
      world,
      { lease, acts: [{ kind: "gather", value: i, caught: true }, ...acts], faults: [] },
      undefined,
    )
    World.check(world)
  }
  World.end(world)
}
