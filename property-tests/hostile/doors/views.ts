/** Views of pages, before a hostile caller. @module */
import { Effect, Result } from "effect"
import { Arena, KvCache, Layout, Lease, PagedKvCache, Pages, PageUtilities } from "../../../mod.ts"
import { type Door, door, type Plan } from "../door.ts"
import { floats, placed, readCaches, tensor } from "./values.ts"

const sizes = { batchSize: 2, maxBlocksPerSeq: 2, numBlocks: 6 }
const shape = { blockSize: 2, numKvHeads: 2, headDim: 2 }

const rows = (tokens: number) => tensor("tokens numKvHeads headDim", tokens, 2, 2)

const paged = (cache: PagedKvCache): ReadonlyArray<Door> => [
  door("PagedKvCache.init", PagedKvCache.init, () => [{ ...sizes, ...shape, spareBlocks: 20 }]),
  door("PagedKvCache.of", PagedKvCache.of, () => [cache.pages.arena, sizes]),
  door(
    "PagedKvCache.allocateBlocks",
    PagedKvCache.allocateBlocks,
    () => [cache, { sequence: 1, numTokens: 3, freeBlockIds: [4, 5] }],
  ),
  door(
    "PagedKvCache.allocateBlocks of its own",
    PagedKvCache.allocateBlocks,
    () => [cache, { sequence: 1, numTokens: 3 }],
  ),
  door(
    "PagedKvCache.appendKv",
    (sequence: number) => PagedKvCache.appendKv(cache, sequence, rows(1), rows(1)),
    () => [0],
  ),
  door("PagedKvCache.gatherKv", PagedKvCache.gatherKv, () => [cache, 0]),
  door("PagedKvCache.truncate", PagedKvCache.truncate, () => [cache, 0, 1]),
  door("PagedKvCache.freeSequence", PagedKvCache.freeSequence, () => [cache, 0]),
  door("PagedKvCache.row", PagedKvCache.row, () => [cache, 0]),
  door(
    "PagedKvCache.withRow",
    (sequence: number) => PagedKvCache.withRow(cache, sequence, KvCache.empty(cache.pages.arena)),
    () => [1],
  ),
  door(
    "PagedKvCache.fromPages",
    PagedKvCache.fromPages,
    () => [cache.pages, { blockTable: [[...cache.blockTable[0]!], [-1, -1]], seqLengths: [3, 0] }],
  ),
  door(
    "PagedKvCache.pagedAttention",
    (sequence: number, options: PagedKvCache.AttentionOptions) =>
      PagedKvCache.pagedAttention(
        tensor("numQHeads tokens headDim", 4, 1, 2),
        cache,
        sequence,
        options,
      ),
    () => [0, {
      scale: 1,
      softCap: 1,
      mask: { causal: true, window: { last: 2, sinks: 0 }, chunk: 4, chunkOffset: 0, starts: [0] },
    }],
  ),
  door(
    "PagedKvCache.pagedAttentionBatch",
    (queries: ReadonlyArray<PagedKvCache.PagedQueries>) =>
      PagedKvCache.pagedAttentionBatch(tensor("tokens numQHeads headDim", 1, 4, 2), cache, queries),
    () => [[{ sequence: 0, queryLen: 1 }]],
  ),
]

const utilities = (arena: Arena, pages: Pages.Pages): ReadonlyArray<Door> => {
  const host = (tokens: number) => ({
    shape: [tokens, 2, 2] as const,
    data: new Array(tokens * 4).fill(1),
  })
  return [
    door("PageUtilities.cdiv", PageUtilities.cdiv, () => [3, 2], {
      right: ([n, by], answer) => answer === Math.ceil(n / by) ? undefined : `${answer}`,
    }),
    door("PageUtilities.slotMappingToSlices", PageUtilities.slotMappingToSlices, () => [{
      blockTables: [[0, 1], [2]],
      cachedLengths: [1, 0],
      queryLengths: [2, 1],
      numPages: 3,
      pageSize: 2,
      slicesPerProcessingPage: 4,
    }], {
      right: ([{ queryLengths }], answer) => {
        const { sliceIndices, totalUpdateSlices } = answer as PageUtilities.Slices
        const written = Array.from(sliceIndices[2]).slice(0, totalUpdateSlices).reduce(
          (sum, n) => sum + n,
          0,
        )
        const asked = Array.from(queryLengths).reduce((sum, n) => sum + n, 0)
        return written === asked &&
            sliceIndices.every((row) => Array.from(row).every((n) => n >= 0))
          ? undefined
          : `${written} of ${asked} tokens, to ${sliceIndices[0]}`
      },
    }),
    door(
      "PageUtilities.kvCacheUpdate",
      (slices: PageUtilities.SliceIndices, total: number, options: PageUtilities.UpdateOptions) =>
        PageUtilities.kvCacheUpdate(
          tensor("tokens combinedHeads headDim", 2, 2, 2),
          slices,
          pages,
          total,
          options,
        ),
      () => [[[1, 4], [0, 1], [1, 1]] as const, 2, { pageSize: 2, slicesPerProcessingPage: 8 }],
    ),
    door(
      "PageUtilities.kvCacheUpdateReference",
      PageUtilities.kvCacheUpdateReference,
      () => [host(2), [[1], [0], [1]] as const, host(6), 1, { pageSize: 2 }],
    ),
    door(
      "PageUtilities.toDense",
      (numPages: number) =>
        Effect.flatMap(Effect.fromResult(Pages.make(arena, numPages)), PageUtilities.toDense),
      () => [3],
    ),
  ]
}

/** A paged cache. */
export const room: Plan = Effect.gen(function* () {
  const empty = yield* PagedKvCache.init({ ...sizes, ...shape, spareBlocks: 30 })
  const k = yield* floats("tokens numKvHeads headDim", 3, 2, 2)
  const cache = yield* Effect.fromResult(Result.gen(function* () {
    const { cache } = yield* PagedKvCache.allocateBlocks(empty, { sequence: 0, numTokens: 4 })
    return yield* PagedKvCache.appendKv(cache, 0, k, k)
  }))
  const held = yield* Lease.make(cache.pages.arena)
  yield* placed(held, Pages.caches(cache.pages))
  return {
    doors: paged(cache),
    arenas: [cache.pages.arena],
    read: readCaches(held, Pages.caches(cache.pages)),
  }
})

/** Pages whose keys and values interleave. */
export const interleaved: Plan = Effect.gen(function* () {
  const layout = yield* Effect.fromResult(
    Layout.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 2, placement: "interleaved" }),
  )
  const arena = yield* Arena.make(layout, 20)
  const lease = yield* Lease.make(arena)
  const pool = yield* floats("tokens combinedHeads headDim", 6, 2, 2)
  const pages = yield* Effect.fromResult(PageUtilities.fromDense(arena, pool))
  yield* placed(lease, Pages.caches(pages))
  return {
    doors: utilities(arena, pages),
    arenas: [arena],
    read: readCaches(lease, Pages.caches(pages)),
  }
})
