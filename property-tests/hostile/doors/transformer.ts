/** Caches of transformers, before a hostile caller. @module */
import { Effect, Result } from "effect"
import {
  AttnMaskDetail,
  AttnMaskType,
  Axis,
  type KvCache,
  Lease,
  Partition,
  RuntimeMode,
  TransformerCache,
  TransformerCacheMetaData,
  TransformerCacheView,
  TransformerMetadata,
} from "../../../mod.ts"
import { type Door, door, type Plan } from "../door.ts"
import { placed, readCaches, tensor } from "./values.ts"

const options: TransformerCacheMetaData.Options = {
  batchSize: 2,
  sequenceLength: 4,
  numHiddenLayers: 2,
  padTokenId: 0,
  keyHeads: 1,
  valueHeads: 1,
  keyDim: 2,
  valueDim: 2,
}
const sliding = { maskType: AttnMaskType.SLIDING, size: 2 }
const chunked = { maskType: AttnMaskType.CHUNK, size: 2, offset: 1, chunks: 2, bricks: 3 }
const metadata = Result.getOrThrow(TransformerCacheMetaData.create(options))
const told = { starts: [0, 1], indexs: [2, 1], queryLengths: [1, 1], postpadded: true }
const chunk = () => ({
  key: tensor("batch tokens keyHeads keyDim", 2, 2, 1, 2),
  value: tensor("batch tokens valueHeads valueDim", 2, 2, 1, 2),
})

const pure: ReadonlyArray<Door> = [
  door(
    "TransformerCacheMetaData.create",
    TransformerCacheMetaData.create,
    () => [{ ...options, slidingWindow: 2 }],
  ),
  door(
    "TransformerCacheMetaData.detailOf",
    TransformerCacheMetaData.detailOf,
    () => [metadata, chunked],
  ),
  door(
    "TransformerCache.initCache",
    (o: TransformerCacheMetaData.Options, more: object) =>
      Effect.flatMap(
        Effect.fromResult(TransformerCacheMetaData.create(o)),
        (metadata) => TransformerCache.initCache({ metadata, ...more }),
      ),
    () => [options, {
      starts: [0, 1],
      blockSize: 2,
      numBlocks: 20,
      maskTypeDetails: { 0: sliding },
    }],
  ),
  door("TransformerCache.initEmpty", TransformerCache.initEmpty, () => [2]),
  door(
    "TransformerCacheView.layoutOf",
    TransformerCacheView.layoutOf,
    () => [metadata, { blockSize: 2 }],
  ),
  door("AttnMaskDetail.make", AttnMaskDetail.make, () => [chunked]),
  door("AttnMaskDetail.error", AttnMaskDetail.error, () => [chunked]),
  door("AttnMaskDetail.maskOf", AttnMaskDetail.maskOf, () => [chunked], { arithmetic: true }),
  door("AttnMaskDetail.windowOf", AttnMaskDetail.windowOf, () => [sliding], { arithmetic: true }),
  door("TransformerMetadata.error", TransformerMetadata.error, () => [told, 2, 2]),
  door(
    "TransformerMetadata.fromTokens",
    TransformerMetadata.fromTokens,
    () => [metadata, [[0, 5], [6, 7]]],
  ),
  door(
    "Partition.resolve",
    Partition.resolve,
    () => [{ mesh: { dp: 1, fsdp: 2, tp: 1, sp: 1 }, table: Partition.usual }, {
      axes: [Axis.BATCH, Axis.KV_HEAD],
      shape: [2, 1],
      mode: RuntimeMode.MODE_PREFILL,
    }],
  ),
]

const filled = (cache: TransformerCache, view: TransformerCacheView): ReadonlyArray<Door> => [
  door(
    "TransformerCacheView.init",
    (starts: ReadonlyArray<number>, layerIndex: number) =>
      TransformerCacheView.init(view.arena, { metadata, starts, layerIndex }),
    () => [[0, 1], 1],
  ),
  door(
    "TransformerCacheView.append",
    (more: TransformerMetadata) => TransformerCacheView.append(view, chunk(), more),
    () => [told],
  ),
  door(
    "TransformerCacheView.concatenateToCache",
    (more: object) =>
      TransformerCacheView.concatenateToCache(
        view,
        {
          ...chunk(),
          query: tensor("batch tokens numQHeads headDim", 2, 2, 1, 2),
          ...more,
        } as never,
      ),
    () => [{ cacheMetadata: told, mask: { window: { last: 2, sinks: 0 }, starts: [0, 0] } }],
  ),
  door(
    "TransformerCacheView.attend",
    (more: object) =>
      TransformerCacheView.attend(tensor("batch tokens numQHeads headDim", 2, 1, 2, 2), view, more),
    () => [{ scale: 1, softCap: 1 }],
  ),
  door(
    "TransformerCacheView.visible",
    (tokens: number, mask: object) => TransformerCacheView.visible(view, tokens, mask),
    () => [2, { window: { last: 2, sinks: 0 } }],
  ),
  door(
    "TransformerCacheView.maskFor",
    (tokens: number, mask: object, more: TransformerMetadata) =>
      TransformerCacheView.maskFor(view, tokens, mask, more),
    () => [2, { chunk: 2 }, told],
  ),
  door(
    "TransformerCacheView.room",
    TransformerCacheView.room,
    () => [{ maximumSequenceLength: 4, maskingDetails: sliding }],
    { arithmetic: true },
  ),
  door("TransformerCacheView.row", TransformerCacheView.row, () => [view, 1]),
  door(
    "TransformerCacheView.withRow",
    (row: number) => TransformerCacheView.withRow(view, row, view.rows[0]!),
    () => [1],
  ),
  door(
    "TransformerCacheView.shard",
    (mesh: Partition.Mesh) => TransformerCacheView.shard(view, { mesh, table: Partition.usual }),
    () => [{ dp: 1, fsdp: 2, tp: 1, sp: 1 }],
  ),
  door(
    "TransformerCache.shard",
    (mesh: Partition.Mesh) =>
      TransformerCache.shard(cache, { mesh, table: Partition.usual }, RuntimeMode.MODE_PREFILL),
    () => [{ dp: 1, fsdp: 2, tp: 1, sp: 1 }],
  ),
  door("TransformerCache.at", TransformerCache.at, () => [cache, 1]),
  door(
    "TransformerCache.with",
    (layer: number) => TransformerCache.with(cache, layer, view),
    () => [0],
  ),
  door(
    "TransformerCache.insert",
    (slot: number) => TransformerCache.insert(cache, cache, slot),
    () => [0],
  ),
  door("TransformerCache.insertStarts", TransformerCache.insertStarts, () => [cache, [1], 1]),
  door("TransformerCache.insertIndex", TransformerCache.insertIndex, () => [cache, [0], 1]),
  door(
    "TransformerCache.fromPure",
    (numBlocks: number) =>
      Effect.flatMap(
        TransformerCache.toPure(cache),
        (data) => TransformerCache.fromPure(data, { numBlocks }),
      ),
    () => [20],
    { alone: true },
  ),
]

/** Two rows of two layers. */
export const room: Plan = Effect.gen(function* () {
  const made = yield* TransformerCache.initCache({
    metadata,
    dtype: "f32",
    maskTypeDetails: { 1: sliding },
    blockSize: 2,
    numBlocks: 60,
  })
  const first = made.views[0]!
  const lease = yield* Lease.make(first.arena)
  const view = yield* Effect.fromResult(TransformerCacheView.append(first, chunk()))
  const cache = yield* Effect.fromResult(TransformerCache.with(made, 0, view))
  const rows: ReadonlyArray<KvCache> = TransformerCache.sequences(cache)
  yield* placed(lease, rows)
  return {
    doors: [...pure, ...filled(cache, view)],
    arenas: [first.arena],
    read: readCaches(lease, rows),
  }
})
