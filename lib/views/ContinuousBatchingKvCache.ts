/**
 * One layer's keys or values of a batch, each row in a block of its own: Modular's `ContinuousBatchingKVCache`, the
 * type that attention kernels are given. A view is made from a collection (`getKeyCache`, `getValueCache`), from pages
 * of an arena, or from a 4-D tensor. It has the strides of the whole buffer and no memory of its own.
 *
 * @example Some elements of a head
 * ```ts
 * import { Effect } from "effect"
 * import { ContinuousBatchingKvCache, Gpu, Program } from "@kvasir/kvasir"
 * const read = (keys: ContinuousBatchingKvCache) =>
 *   Effect.flatMap(
 *     Program.run(ContinuousBatchingKvCache.load(keys, 4, { bs: 0, head: 1, tok: 7 })),
 *     Gpu.read,
 *   )
 * ```
 *
 * @module
 */
import { Effect, Result } from "effect"
import type { States } from "../attention/AttentionState.ts"
import type { AttendError, ReadOptions } from "../attention/options.ts"
import type { Arena } from "../cache/Arena.ts"
import type { Needs } from "../cache/Flight.ts"
import type { Given, Kind } from "../cache/Layout.ts"
import type { Pages } from "../cache/Pages.ts"
import type { RealizeError } from "../cache/Realize.ts"
import type { AnyRows } from "../cache/value.ts"
import type { WriteError } from "../cache/write.ts"
import {
  type DuplicateBlock,
  InvalidArgument,
  ShapeMismatch,
  type UnknownSequence,
} from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import type { Tensor } from "../tensor/value.ts"
import {
  type BatchError,
  type BatchOptions,
  type ContinuousBatchingKvCache,
  of as collectionOf,
  sequenceError,
  viewOf,
} from "./batching/value.ts"
import * as Collection from "./ContinuousBatchingKvCacheCollection.ts"

export type { ContinuousBatchingKvCache } from "./batching/value.ts"
export { blocks, load, type Place, type PlaceError, sequence, store } from "./batching/elements.ts"
export {
  type BindingPlan,
  blockPagedPtr,
  type BlockPlan,
  colIdx,
  createTmaTile,
  rowIdx,
  type Swizzle,
  tileAt,
  type TileOptions,
  type TilePlan,
} from "./batching/plans.ts"

/** Which of an arena's pages a view sees. */
export interface Blocks {
  readonly pages: Pages
  readonly layer: number
  readonly kind: Kind
}

/** A view of pages of an arena placed `fused` or `latent`; nothing is copied. */
export const of = (
  { pages, layer, kind }: Blocks,
  options: BatchOptions,
): Result.Result<ContinuousBatchingKvCache, BatchError> =>
  Result.flatMap(
    collectionOf(pages, options),
    (collection): Result.Result<ContinuousBatchingKvCache, BatchError> =>
      viewOf(collection, layer, kind),
  )

/**
 * A view of what a 4-D tensor holds, by copy, as keys of an arena of one layer that is placed `latent`; every token
 * counts as written.
 */
export const fromTensor = (
  arena: Arena,
  blocks: Tensor<Given, "numBlocks maxSeqLen numHeads headSize">,
  options: BatchOptions,
): Effect.Effect<ContinuousBatchingKvCache, BatchError | WriteError, Recording.Recording> => {
  const [numBlocks = 0, ...rest] = blocks.shape
  const whole: Tensor<Given, "numBlocks kvDim numLayers maxSeqLen numHeads headSize"> = {
    ...blocks,
    axes: "numBlocks kvDim numLayers maxSeqLen numHeads headSize",
    shape: [numBlocks, 1, 1, ...rest],
  }
  return Effect.flatMap(
    Collection.fromTensor(arena, whole, options),
    (collection) => Effect.fromResult(viewOf(collection, 0, "keys")),
  )
}

/** Tokens that a row held before this step. */
export const cacheLength = (
  self: ContinuousBatchingKvCache,
  bs: number,
): Result.Result<number, UnknownSequence> => {
  const bad = sequenceError(self, bs)
  return bad === undefined ? Result.succeed(self.cacheLengths[bs]!) : Result.fail(bad)
}

/** `[batch]` u32: the lengths as a tensor of the recording. */
export const cacheLengthsNd = (
  { cacheLengths }: ContinuousBatchingKvCache,
): Effect.Effect<Tensor<"u32", "batch">, never, Recording.Recording> =>
  Recording.op(() =>
    Result.succeed(
      Recording.fresh("u32", "batch", [cacheLengths.length], Uint32Array.from(cacheLengths)),
    )
  )

/** Does no row hold any token yet? Also so before a first prompt, however long it is. */
export const emptyCache = ({ cacheLengths }: ContinuousBatchingKvCache): boolean =>
  cacheLengths.every((length) => length === 0)

/** Most new tokens of a row in this step: what the caller said, or the last `append` added. */
export const maxPromptLength = ({ maxSeqLength }: ContinuousBatchingKvCache): number => maxSeqLength

/** Most tokens of a row, its new ones included. */
export const maxContextLength = ({ maxCacheLength }: ContinuousBatchingKvCache): number =>
  maxCacheLength

/** Most tokens of a tile: those of a block, since no tile crosses its end. */
export const maxTileSize = ({ collection }: ContinuousBatchingKvCache): number =>
  collection.maxSeqLen

/** `append` of the collection, seen by this view: `rows` are those of all layers, keys and values. */
export const append = (
  self: ContinuousBatchingKvCache,
  rows: AnyRows,
  queryLengths: ReadonlyArray<number>,
): Result.Result<ContinuousBatchingKvCache, BatchError | WriteError | DuplicateBlock> =>
  Result.gen(function* () {
    const next = yield* Collection.append(self.collection, rows, queryLengths)
    return yield* viewOf(next, self.layer, self.kind)
  })

/** What attention is given. */
export interface AttendOptions extends Omit<ReadOptions, "layer"> {
  /** `[tokens, numQHeads, headSize]`, the queries of all rows one after another. */
  readonly query: Tensor<"f32", "tokens numQHeads headDim">
  /** Queries of each row; the last stands at the row's last token. */
  readonly queryLengths: ReadonlyArray<number>
  readonly keys: ContinuousBatchingKvCache
  /** Left out with latent attention only. */
  readonly values?: ContinuousBatchingKvCache
}

/** Two views that are no keys and values of one layer. */
const pairError = (
  { keys, values }: AttendOptions,
): InvalidArgument | ShapeMismatch | undefined => {
  const wrong = (name: string, value: string, need: string) =>
    new InvalidArgument({ name, value, need })
  if (keys.kind !== "keys") return wrong("keys", `a view of ${keys.kind}`, "a view of keys")
  if (values === undefined) {
    return keys.kvParams.isMla ? undefined : wrong("values", "nothing", "a view of values")
  }
  if (values.kind !== "values") {
    return wrong("values", `a view of ${values.kind}`, "a view of values")
  }
  const [expected, actual] = [keys.lookupTable.length, values.lookupTable.length]
  if (expected !== actual) {
    return new ShapeMismatch({ tensor: "values", axis: "batch", expected, actual })
  }
  const same = keys.collection.pages === values.collection.pages &&
    keys.lookupTable.every((block, b) => block === values.lookupTable[b]) &&
    keys.cacheLengths.every((length, b) => length === values.cacheLengths[b])
  if (!same) return wrong("values", "a view of other rows", "a view of the rows that keys has")
  if (keys.layer !== values.layer) {
    return wrong("values", `a view of layer ${values.layer}`, `a view of layer ${keys.layer}`)
  }
}

/** Attention over the rows of a batch through the views of one layer. Realises the blocks first. */
export const attend = (
  options: AttendOptions,
): Effect.Effect<States, AttendError | RealizeError, Needs> => {
  const bad = pairError(options)
  if (bad !== undefined) return Effect.fail(bad)
  const { query, queryLengths, keys, values: _, ...read } = options
  return Collection.attend(keys.collection, keys.layer, query, queryLengths, read)
}
