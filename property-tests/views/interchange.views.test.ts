/** A sequence of one named view as one of another: shared in one arena, copied between arenas. */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  ContinuousBatchingKvCacheCollection as Collection,
  Gpu,
  Interchange,
  KvCache,
  type Layout,
  Lease,
  PagedKvCache,
  Pages,
  Program,
  TransformerCacheMetaData,
  TransformerCacheView,
} from "../../mod.ts"
import { appended, free, type Halves, holds, read, second } from "../models/converted.ts"
import * as Shelf from "../models/shelf.ts"
import * as World from "../../testing/world/world.ts"

const capacity = 8

/** What all three views can lie in: one layer, a block as long as a sequence. */
const layoutOf = (more: Partial<Layout.Options> = {}): Layout.Options => ({
  ...{ layers: 1, keyHeads: 2, keyDim: 3, blockSize: capacity, capacity, placement: "fused" },
  ...more,
})

const metadataOf = (batchSize: number): TransformerCacheMetaData =>
  Result.getOrThrow(TransformerCacheMetaData.create({
    ...{ batchSize, sequenceLength: capacity, numHiddenLayers: 1, padTokenId: 0 },
    ...{ numHeads: 2, headDim: 3 },
  }))

type Arena = KvCache["arena"]

const pagedOf = (arena: Arena): PagedKvCache => {
  const maxBlocksPerSeq = Math.ceil(capacity / arena.layout.blockSize)
  const sizes = { batchSize: 2, maxBlocksPerSeq, numBlocks: 2 * maxBlocksPerSeq }
  return Result.getOrThrow(PagedKvCache.of(arena, sizes))
}

const viewOf = (arena: Arena): TransformerCacheView =>
  Result.getOrThrow(TransformerCacheView.init(arena, { metadata: metadataOf(2) }))

const batchOf = (arena: Arena): Collection.ContinuousBatchingKvCacheCollection =>
  Result.getOrThrow(Result.flatMap(
    Pages.make(arena, 3),
    (pages) => Collection.of(pages, { lookupTable: [2, 0], cacheLengths: [0, 0] }),
  ))

/** Puts a cache into a new value of a view, takes it out again, and says what was copied and what the view reads. */
type Way = (shelf: Shelf.Shelf, cache: KvCache) => {
  readonly copied: boolean
  readonly back: KvCache
  readonly seen: () => Halves
}

const shared = <A>(one: Interchange.Converted<A>): A => {
  assert.equal(one.copied, false)
  return one.value
}

/** Each by the functions of its view. */
const ways: Readonly<Record<"paged" | "transformer" | "batching", Way>> = {
  paged: (shelf, cache) => {
    const { value, copied } = Shelf.lasting(
      shelf,
      PagedKvCache.withRow(pagedOf(cache.arena), 1, cache),
    )
    assert.deepEqual(value.seqLengths, [0, cache.length])
    const row = Result.getOrThrow(PagedKvCache.row(value, 1))
    return {
      copied,
      back: shared(Shelf.lasting(shelf, Interchange.toCache(row))),
      seen: () => read(shelf, Pages.gather(value.pages, row.blocks, row.length)),
    }
  },
  transformer: (shelf, cache) => {
    const { value, copied } = Shelf.lasting(
      shelf,
      TransformerCacheView.withRow(viewOf(cache.arena), 1, cache),
    )
    assert.deepEqual(value.indexs, [0, cache.length])
    const back = Result.getOrThrow(TransformerCacheView.row(value, 1))
    const one = Result.getOrThrow(
      TransformerCacheView.fromRows([back], { metadata: metadataOf(1) }),
    )
    return { copied, back, seen: () => read(shelf, KvCache.gather(one.rows[0]!)) }
  },
  batching: (shelf, cache) => {
    const { value, copied } = Shelf.lasting(
      shelf,
      Collection.withRow(batchOf(cache.arena), 1, cache),
    )
    assert.deepEqual(value.cacheLengths, [0, cache.length])
    const row = Result.getOrThrow(Collection.row(value, 1))
    return {
      copied,
      back: shared(Shelf.lasting(shelf, Interchange.toCache(row))),
      seen: () => read(shelf, Pages.gather(value.pages, row.blocks, row.length)),
    }
  },
}

const names = ["paged", "transformer", "batching"] as const

test("a sequence goes through all named views of an arena and back without one new block", () => {
  fc.assert(
    fc.property(
      fc.constantFrom("f32", "f16", "bf16", "int8"),
      fc.nat(capacity),
      fc.nat(3),
      fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 6 }),
      (dtype, length, most, path) => {
        const shelf = Shelf.make(layoutOf({ dtype }))
        const { arena } = shelf.world
        const made = appended(shelf, KvCache.empty(arena), length)
        Shelf.lasting(shelf, KvCache.realize([made.next]))
        const before = free(shelf)
        let cache = made.next
        const passed = path.map((name) => {
          const went = ways[name](shelf, cache)
          assert.equal(went.copied, false)
          cache = went.back
          return { name, ...went }
        })
        assert.deepEqual(free(shelf), before, "no block was taken")
        // Each goes on by itself: one of them in place, and none sees what the others add.
        const count = Math.min(most, capacity - length)
        const grown = passed.map(({ back }) => appended(shelf, back, count))
        Shelf.lasting(shelf, KvCache.realize(grown.map(({ next }) => next)))
        for (const [i, { next, ids }] of grown.entries()) {
          const { name, seen } = passed[i]!
          holds(name, arena.layout, seen(), made.ids)
          holds(name, arena.layout, read(shelf, KvCache.gather(next)), [...made.ids, ...ids])
        }
        const used = length === 0
          ? Math.min(count, 1) * grown.length
          : Math.max(1, count && grown.length)
        assert.deepEqual(free(shelf), [200 - used], "one grew in place, the others copied a block")
        Shelf.end(shelf)
      },
    ),
    { numRuns: 80 },
  )
})

test("PagedKvCache and a collection over the same pages see each other's rows at once", () => {
  const shelf = Shelf.make(layoutOf())
  const { arena } = shelf.world
  const ids = World.rows(shelf.world, 7)
  const batch = Result.getOrThrow(
    Collection.append(batchOf(arena), World.uploaded(shelf.world, ids), [4, 3]),
  )
  const { pages, lookupTable, cacheLengths } = batch
  const paged = Result.getOrThrow(PagedKvCache.fromPages(pages, {
    blockTable: lookupTable.map((block) => [block]),
    seqLengths: cacheLengths,
  }))
  const back = Result.getOrThrow(Collection.of(paged.pages, {
    lookupTable: paged.blockTable.map(([block]) => block!),
    cacheLengths: paged.seqLengths,
  }))
  for (const [sequence, own] of [ids.slice(0, 4), ids.slice(4)].entries()) {
    for (const row of [PagedKvCache.row(paged, sequence), Collection.row(back, sequence)]) {
      const { blocks, length } = Result.getOrThrow(row)
      holds("row", arena.layout, read(shelf, Pages.gather(pages, blocks, length)), own)
    }
  }
  assert.deepEqual(free(shelf), [198])
  Shelf.end(shelf)
})

test("a sequence goes from arena to arena by copy, through each named view, and is told so", async () => {
  const shelf = Shelf.make(layoutOf({ placement: "perLayer", blockSize: 3 }))
  const { world } = shelf
  const other = second(shelf, layoutOf({ placement: "perLayer", dtype: "bf16" }))
  const third = second(shelf, layoutOf({ dtype: "f16" }))
  const ids = World.rows(world, 7)
  const cache = Result.getOrThrow(
    KvCache.append(KvCache.empty(world.arena), World.uploaded(world, ids)),
  )
  const cast = { cast: true }
  const copied = <A>(one: Interchange.Converted<A>): A => {
    assert.equal(one.copied, true)
    return one.value
  }
  const check = (name: string, cache: KvCache) =>
    Effect.gen(function* () {
      const { keys, values } = yield* Program.run(KvCache.gather(cache))
      const got = { keys: yield* Gpu.read(keys), values: yield* Gpu.read(values) }
      holds(name, cache.arena.layout, got, ids)
    })
  const journey = Effect.gen(function* () {
    const view = copied(
      yield* Program.run(TransformerCacheView.withRow(viewOf(other), 1, cache, cast)),
    )
    assert.deepEqual([view.indexs, view.starts], [[0, 7], [0, 0]])
    const row = yield* Effect.fromResult(TransformerCacheView.row(view, 1))
    yield* Lease.scoped(other)(Effect.gen(function* () {
      yield* check("TransformerCacheView", row)
      const batch = copied(
        yield* Program.run(Collection.withRow(batchOf(third), 0, row, cast)),
      )
      yield* Lease.scoped(third)(Effect.gen(function* () {
        const { value } = yield* Program.run(
          Interchange.toCache(yield* Effect.fromResult(Collection.row(batch, 0))),
        )
        yield* check("ContinuousBatchingKvCacheCollection", value)
        const paged = copied(
          yield* Program.run(PagedKvCache.withRow(pagedOf(world.arena), 1, value, cast)),
        )
        assert.deepEqual(paged.blockTable, [[-1, -1, -1], [0, 1, 2]])
        yield* Lease.scoped(world.arena)(Effect.gen(function* () {
          const back = yield* Effect.fromResult(PagedKvCache.row(paged, 1))
          const joined = yield* Program.run(Interchange.toCache(back))
          assert.equal(joined.copied, false)
          yield* check("PagedKvCache", joined.value)
        }))
      }))
    }))
  })
  await Effect.runPromise(
    Effect.scoped(Lease.scoped(world.arena)(journey)).pipe(Effect.provideContext(world.context)),
  )
  Shelf.end(shelf)
})

test("rows that do not fit a named view are refused, and all caches are as they were", () => {
  const shelf = Shelf.make(layoutOf({ capacity: 20, blockSize: 4 }))
  const { arena } = shelf.world
  const made = appended(shelf, KvCache.empty(arena), 7)
  const long = appended(shelf, KvCache.empty(arena), 9)
  Shelf.lasting(shelf, KvCache.realize([made.next, long.next]))
  const paged = pagedOf(arena)
  const view = Shelf.lasting(shelf, TransformerCacheView.withRow(viewOf(arena), 0, made.next)).value
  const full = Shelf.lasting(shelf, PagedKvCache.withRow(paged, 0, made.next)).value
  const before = World.picture(shelf.world)
  const says = <A, E extends { readonly message: string }>(
    body: Shelf.Body<A, E>,
    message: string,
  ) => {
    const failed: { readonly message: string } = Shelf.run(shelf, Effect.flip(Program.run(body)))
    assert.equal(failed.message, `Cannot ${message}`)
    assert.deepEqual(World.picture(shelf.world), before)
    const row = Result.getOrThrow(PagedKvCache.row(full, 0))
    const held = read(shelf, Pages.gather(full.pages, row.blocks, row.length))
    holds("PagedKvCache", arena.layout, held, made.ids)
    holds("row", arena.layout, read(shelf, KvCache.gather(view.rows[0]!)), made.ids)
  }
  const fails = <A>(result: Result.Result<A, { readonly message: string }>, message: string) =>
    assert.equal(Result.getOrThrow(Result.flip(result)).message, `Cannot ${message}`)

  const unknown = (sequence: number) => `find sequence ${sequence}: there are 2, from 0 on`
  fails(PagedKvCache.row(full, 2), unknown(2))
  fails(TransformerCacheView.row(view, -1), unknown(-1))
  says(PagedKvCache.withRow(full, 2, made.next), unknown(2))
  says(TransformerCacheView.withRow(view, 2, made.next), unknown(2))
  says(
    PagedKvCache.withRow(full, 1, long.next),
    "give sequence 1 3 blocks: its row of the block table has 2 cells; make the table wider or end the sequence",
  )
  says(
    TransformerCacheView.withRow(view, 1, long.next),
    "grow the cache as it needs 9 tokens: its capacity is 8",
  )
  says(
    PagedKvCache.withRow(full, 1, made.next, { freeBlockIds: [3] }),
    "place rows as they need 2 more blocks of layer group 0: 1 free of 4; offer more ids or free a sequence",
  )
  says(
    PagedKvCache.withRow(full, 1, made.next, { freeBlockIds: [3, 0] }),
    "take block 0: it belongs to sequence 0; give a free block",
  )
  const dropped = Result.getOrThrow(KvCache.dropBefore(made.next, 4, 0))
  says(
    PagedKvCache.withRow(full, 1, dropped),
    "take 4 as the first position the cache sees: it must be 0: pages hold a sequence from there",
  )
  const half = second(shelf, layoutOf({ dtype: "f16" }))
  says(
    TransformerCacheView.withRow(viewOf(half), 1, made.next),
    "use a cache as f16: it is f32; { cast: true } rounds it",
  )
  says(
    PagedKvCache.withRow(pagedOf(half), 1, made.next),
    "use a cache as f16: it is f32; { cast: true } rounds it",
  )
  const wide = second(shelf, layoutOf({ keyDim: 4 }))
  says(
    PagedKvCache.withRow(pagedOf(wide), 1, made.next),
    "use a cache whose keyDim is 3: 4 is needed",
  )

  const rows = [made.next, made.next]
  const metadata = metadataOf(2)
  fails(
    TransformerCacheView.fromRows([made.next], { metadata }),
    'bind axis "batch" of rows to 2: it is 1',
  )
  fails(
    TransformerCacheView.fromRows([made.next, long.next], { metadata }),
    "grow the cache as it needs 9 tokens: its capacity is 8",
  )
  fails(
    TransformerCacheView.fromRows([made.next, KvCache.empty(half)], { metadata }),
    "take another as the arena of rows[1]: it must be that of rows[0]: withRow copies from another",
  )
  fails(
    TransformerCacheView.fromRows(rows.map(() => KvCache.empty(wide)), { metadata }),
    "use a cache whose keyDim is 4: 3 is needed",
  )
  Shelf.end(shelf)
})
