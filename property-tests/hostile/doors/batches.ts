/** Batches in one fused buffer, before a hostile caller. @module */
import { Effect, Result } from "effect"
import {
  Arena,
  ContinuousBatchingKvCache as Batched,
  ContinuousBatchingKvCacheCollection as Collection,
  KvCache,
  Lease,
  Pages,
  Program,
} from "../../../mod.ts"
import { type Door, door, type Plan } from "../door.ts"
import { floats, placed, readCaches, tensor } from "./values.ts"

const kvParams = { numHeads: 1, headSize: 2, isMla: false }
const fused = { kvParams, numBlocks: 3, numLayers: 2, maxSeqLen: 2, arenaBlocks: 30 }
const batch = { lookupTable: [2, 0], cacheLengths: [1, 2], maxSeqLength: 1, maxCacheLength: 2 }
const place = { bs: 0, head: 0, tok: 1, dim: 0 }

const collections = (all: Collection.ContinuousBatchingKvCacheCollection): ReadonlyArray<Door> => [
  door("ContinuousBatchingKvCacheCollection.layout", Collection.layout, () => [fused]),
  door(
    "ContinuousBatchingKvCacheCollection.make",
    Collection.make,
    () => [{ ...fused, ...batch, cacheLengths: [0, 0] }],
  ),
  door("ContinuousBatchingKvCacheCollection.of", Collection.of, () => [all.pages, batch]),
  door(
    "ContinuousBatchingKvCacheCollection.fromTensor",
    (options: typeof batch) =>
      Collection.fromTensor(
        all.pages.arena,
        tensor("numBlocks kvDim numLayers maxSeqLen numHeads headSize", 3, 2, 2, 2, 1, 2),
        options,
      ),
    () => [batch],
  ),
  door(
    "ContinuousBatchingKvCacheCollection.append",
    (lengths: ReadonlyArray<number>) =>
      Collection.append(all, {
        keys: tensor("layers tokens keyHeads keyDim", 2, 1, 1, 2),
        values: tensor("layers tokens valueHeads valueDim", 2, 1, 1, 2),
      }, lengths),
    () => [[1, 0]],
  ),
  door("ContinuousBatchingKvCacheCollection.getKeyCache", Collection.getKeyCache, () => [all, 1]),
  door(
    "ContinuousBatchingKvCacheCollection.getValueCache",
    Collection.getValueCache,
    () => [all, 1],
  ),
  door(
    "ContinuousBatchingKvCacheCollection.attend",
    (layer: number, lengths: ReadonlyArray<number>, options: { scale: number; softCap: number }) =>
      Collection.attend(all, layer, tensor("tokens numQHeads headDim", 2, 2, 2), lengths, options),
    () => [0, [1, 1], { scale: 1, softCap: 2 }],
  ),
  door("ContinuousBatchingKvCacheCollection.row", Collection.row, () => [all, 1]),
  door(
    "ContinuousBatchingKvCacheCollection.withRow",
    (row: number) => Collection.withRow(all, row, KvCache.empty(all.pages.arena)),
    () => [1],
  ),
  door(
    "ContinuousBatchingKvCacheCollection.step",
    (lengths: ReadonlyArray<number>) =>
      Collection.step(all, lengths, () => Effect.succeed({ value: 0 })),
    () => [[0, 0]],
  ),
  door("ContinuousBatchingKvCacheCollection.blocks", (numPages: number) =>
    Effect.gen(function* () {
      const pages = yield* Effect.fromResult(Pages.make(all.pages.arena, numPages))
      const empty = yield* Effect.fromResult(
        Collection.of(pages, { lookupTable: [], cacheLengths: [] }),
      )
      return yield* Collection.blocks(empty)
    }), () => [3]),
]

const views = (
  all: Collection.ContinuousBatchingKvCacheCollection,
  view: Batched.ContinuousBatchingKvCache,
  values: Batched.ContinuousBatchingKvCache,
): ReadonlyArray<Door> => [
  door(
    "ContinuousBatchingKvCache.of",
    (layer: number) => Batched.of({ pages: all.pages, layer, kind: "keys" }, batch),
    () => [1],
  ),
  door(
    "ContinuousBatchingKvCache.of a batch",
    (options: typeof batch) => Batched.of({ pages: all.pages, layer: 1, kind: "keys" }, options),
    () => [batch],
  ),
  door("ContinuousBatchingKvCache.cacheLength", Batched.cacheLength, () => [view, 1]),
  door(
    "ContinuousBatchingKvCache.load",
    (width: number, at: typeof place) => Batched.load(view, width, at),
    () => [2, place],
  ),
  door(
    "ContinuousBatchingKvCache.store",
    (at: typeof place, values: ReadonlyArray<number>) => Batched.store(view, at, values),
    () => [place, [5]],
  ),
  door("ContinuousBatchingKvCache.sequence", Batched.sequence, () => [view, 1]),
  door("ContinuousBatchingKvCache.blocks", (numPages: number) =>
    Effect.gen(function* () {
      const pages = yield* Effect.fromResult(Pages.make(all.pages.arena, numPages))
      const empty = yield* Effect.fromResult(
        Collection.of(pages, { lookupTable: [], cacheLengths: [] }),
      )
      return yield* Batched.blocks(yield* Effect.fromResult(Collection.getKeyCache(empty, 1)))
    }), () => [3]),
  door(
    "ContinuousBatchingKvCache.blockPagedPtr",
    (tile: number, at: typeof place) => Batched.blockPagedPtr(view, tile, at),
    () => [1, { ...place, tok: 0 }],
  ),
  door(
    "ContinuousBatchingKvCache.createTmaTile",
    Batched.createTmaTile,
    () => [view, { tileM: 1, tileN: 2, swizzle: "none" as const, isKMajor: true }],
  ),
  door(
    "ContinuousBatchingKvCache.tileAt",
    (at: { bs: number; tok: number; col: number }) =>
      Effect.map(
        Batched.createTmaTile(view, { tileM: 1, tileN: 2, swizzle: "none", isKMajor: true }),
        (plan) => Result.getOrThrowWith(Batched.tileAt(plan, at), (error) => error),
      ),
    () => [{ bs: 0, tok: 0, col: 0 }],
  ),
  door("ContinuousBatchingKvCache.rowIdx", Batched.rowIdx, () => [view, 1, 1]),
  door("ContinuousBatchingKvCache.colIdx", Batched.colIdx, () => [view, 0]),
  door(
    "ContinuousBatchingKvCache.append",
    (lengths: ReadonlyArray<number>) =>
      Batched.append(
        view,
        {
          keys: tensor("layers tokens keyHeads keyDim", 2, 1, 1, 2),
          values: tensor("layers tokens valueHeads valueDim", 2, 1, 1, 2),
        } as never,
        lengths as never,
      ),
    () => [[1, 0]],
  ),
  door(
    "ContinuousBatchingKvCache.attend",
    (lengths: ReadonlyArray<number>, options: { scale: number; softCap: number }) =>
      Batched.attend({
        query: tensor("tokens numQHeads headDim", 2, 2, 2),
        queryLengths: lengths,
        keys: view,
        values,
        ...options,
      }),
    () => [[1, 1], { scale: 1, softCap: 2 }],
  ),
]

/** A batch in a fused buffer. */
export const room: Plan = Effect.gen(function* () {
  const layout = yield* Effect.fromResult(Collection.layout(fused))
  const arena = yield* Arena.make(layout, 40)
  const lease = yield* Lease.make(arena)
  const blocks = yield* floats(
    "numBlocks kvDim numLayers maxSeqLen numHeads headSize",
    3,
    2,
    2,
    2,
    1,
    2,
  )
  const all = yield* Program.run(Collection.fromTensor(arena, blocks, batch))
  yield* placed(lease, Pages.caches(all.pages))
  const view = yield* Effect.fromResult(Collection.getKeyCache(all, 1))
  const values = yield* Effect.fromResult(Collection.getValueCache(all, 1))
  return {
    doors: [...collections(all), ...views(all, view, values)],
    arenas: [arena],
    read: readCaches(lease, Pages.caches(all.pages)),
  }
})
