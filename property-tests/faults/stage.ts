/**
 * An arena with older values in it, beside which something goes wrong: its books, what its values hold, and what is
 * alive are known before and looked at afterwards.
 *
 * @module
 */
import { Cause, Effect, Exit, Result, type Scope } from "effect"
import assert from "node:assert/strict"
import { isDeepStrictEqual } from "node:util"
import { Arena, Gpu, KvCache, Layout, Lease, Program, type Recording } from "../../mod.ts"
import { gather, near, type Reading, type Value } from "../../testing/world/readings.ts"
import { upload } from "../../testing/world/storage.ts"
import * as World from "../../testing/world/world.ts"

/** What runs inside a stage: under its lease, in a scope of its own. */
export type Act = Effect.Effect<unknown, unknown, Gpu | Lease | Scope.Scope>

/** The older values, and where they are. */
export interface Stage {
  readonly arena: Arena
  readonly lease: World.Guard["owner"]
  /** Placed values, of which two share blocks, and one that is still owed. */
  readonly older: ReadonlyArray<Value>
  /** The books after each operation that landed. */
  readonly landed: Array<unknown>
}

/** Two groups of layers, one with a window; nothing is a multiple of four but the keys. */
export const layout: Layout = Result.getOrThrow(Layout.make({
  layers: 3,
  groups: [{ layers: [0, 2], window: undefined }, { layers: [1], window: 9 }],
  keyHeads: 1,
  keyDim: 4,
  valueHeads: 1,
  valueDim: 3,
  blockSize: 3,
}))

/** A cache with these rows after its own; they live as long as the scope. */
export const grown = (
  { cache, rows }: Value,
  ids: ReadonlyArray<number>,
): Effect.Effect<Value, unknown, Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    const given = yield* upload(cache.arena.layout, ids)
    const next = yield* Effect.fromResult(KvCache.append(cache, given))
    return { cache: next, rows: [...rows.slice(0, cache.length), ...ids] }
  })

/** Free blocks, references and marks. */
const picture = (arena: Arena): unknown => World.picture({ arena } as World.World) // all that it looks at

/**
 * Law 4 around one operation: where it fails the books are as they were. An interruption may come just after it landed:
 * then they are as it leaves them, which is noted.
 */
export const atomic =
  ({ arena, landed }: Pick<Stage, "arena" | "landed">) =>
  <A, E, R>(operation: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      const before = picture(arena)
      return Effect.onExit(operation, (exit) =>
        Effect.sync(() => {
          const after = picture(arena)
          const changed = !isDeepStrictEqual(after, before)
          const late = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
          if (Exit.isSuccess(exit) || (late && changed)) landed.push(after)
          else assert.deepEqual(after, before, "law 4: what fails changes nothing")
        }))
    })

/** Brings to the host what a run reads, and compares it with what it must read. */
export const readings = <E>(
  stage: Pick<Stage, "arena" | "landed">,
  body: Effect.Effect<ReadonlyArray<Reading>, E, Lease | Recording | Recording.Transaction>,
): Effect.Effect<ReadonlyArray<ReadonlyArray<number>>, unknown, Gpu | Lease | Scope.Scope> =>
  Effect.gen(function* () {
    // What is expected stands apart, or a run would look for tensors in it.
    const apart = Effect.map(body, (all) => all.map(({ tensor, ...rest }) => ({ tensor, rest })))
    const read = yield* atomic(stage)(Program.run(apart))
    const one = ({ tensor, rest }: typeof read[number]) =>
      Effect.map(Gpu.read(tensor), (got) => {
        near(rest.name, got, rest.want, rest.within)
        return [...got]
      })
    return yield* Effect.forEach(read, one, { concurrency: "unbounded" })
  })

/** Makes one. */
export const make: Effect.Effect<Stage, unknown, Gpu | Scope.Scope> = Effect.gen(function* () {
  const arena = yield* Arena.make(layout, [16, 12])
  const lease = yield* Lease.make(arena)
  const empty: Value = { cache: KvCache.empty(arena), rows: [] }
  const first = yield* grown(empty, [1, 2, 3, 4])
  const longer = yield* grown(first, [5, 6, 7])
  const fork = yield* grown(first, [8])
  const owed = yield* grown(longer, [9, 10])
  const placed = Program.run(KvCache.realize([first, longer, fork].map(({ cache }) => cache)))
  yield* Lease.under(lease)(Effect.scoped(placed))
  return { arena, lease, older: [first, longer, fork, owed], landed: [] }
})

/** Who holds what, without the marks: a run that landed may have raised some. */
export const holdings = ({ ledgers }: Arena): unknown =>
  ledgers.map(({ references, free, numFree }) => ({
    references: [...references],
    free: [...free.subarray(0, numFree)].sort((a, b) => a - b),
  }))

/** Law 3: references are those of the open owners, and every block is either free or referenced. */
export const balanced = ({ arena }: Pick<Stage, "arena">): void => {
  for (const [group, { numBlocks, references, free, numFree }] of arena.ledgers.entries()) {
    const recount = new Array<number>(numBlocks).fill(0)
    for (const { held } of arena.owners) for (const id of held[group]!) recount[id]!++
    assert.deepEqual([...references], recount, "law 3: references are those of the owners")
    const unused = new Set(free.subarray(0, numFree))
    assert.equal(unused.size, numFree, "law 3: no block is free twice")
    for (let id = 0; id < numBlocks; id++) {
      assert.equal(unused.has(id), recount[id] === 0, "law 3: a block is free or referenced")
    }
  }
}

/** Law 1: the placed values read as they were made. The owed one would be placed by reading it. */
export const readOlder = (
  { older, lease, ...stage }: Stage,
): Effect.Effect<unknown, unknown, Gpu> => {
  const all = Effect.forEach(older.slice(0, 3), gather)
  return Lease.under(lease)(Effect.scoped(readings(stage, Effect.map(all, (some) => some.flat()))))
}
