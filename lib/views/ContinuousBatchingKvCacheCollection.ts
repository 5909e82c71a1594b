/**
 * Sequences of all layers in one fused buffer `[numBlocks, 2, numLayers, maxSeqLen, numHeads, headSize]`, one block a
 * sequence: Modular's `ContinuousBatchingKVCacheCollection`. With latent attention the second axis is 1: keys alone.
 *
 * A collection is a value. An update goes in place where a block ends, and copies the block elsewhere; older
 * collections stay readable.
 *
 * @example A sequence in block 2 of 4
 * ```ts
 * import assert from "node:assert/strict"
 * import { Effect } from "effect"
 * import { ContinuousBatchingKvCacheCollection as Collection, Gpu } from "@kvasir/kvasir"
 * const program = Effect.scoped(Effect.gen(function* () {
 *   const empty = yield* Collection.make({
 *     kvParams: { numHeads: 2, headSize: 4, isMla: false },
 *     numBlocks: 4,
 *     numLayers: 2,
 *     maxSeqLen: 16,
 *     lookupTable: [2],
 *     cacheLengths: [0],
 *   })
 *   const keys = yield* Effect.fromResult(Collection.getKeyCache(empty, 1))
 *   assert.deepEqual(keys.blocksShape, [4, 16, 2, 4])
 *   assert.deepEqual(keys.blocksStride, [2 * 2 * 16 * 2 * 4, 2 * 4, 4, 1])
 * }))
 * await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
 * ```
 *
 * @module
 */
import { Effect, Result, type Scope } from "effect"
import type { States } from "../attention/AttentionState.ts"
import type { AttendError, ReadOptions } from "../attention/options.ts"
import { attendPages } from "../attention/pages.ts"
import * as Arena from "../cache/Arena.ts"
import type { Needs } from "../cache/Flight.ts"
import * as Layout from "../cache/Layout.ts"
import * as Pages from "../cache/Pages.ts"
import type { RealizeError } from "../cache/Realize.ts"
import type { KvCache } from "../cache/value.ts"
import type * as Gpu from "../device/Gpu.ts"
import {
  type ArenaTooLarge,
  type GpuFault,
  InvalidArgument,
  ShapeMismatch,
  type UnknownSequence,
} from "../errors.ts"
import type * as Tensor from "../tensor/Tensor.ts"
import {
  type BatchError,
  type BatchOptions,
  type ContinuousBatchingKvCache,
  type ContinuousBatchingKvCacheCollection,
  type KvCacheStaticParams,
  of,
  sequenceError,
  sharedError,
  viewOf,
  withPages,
} from "./batching/value.ts"
import * as Interchange from "./interchange.ts"

export type {
  Batch,
  BatchError,
  BatchOptions,
  ContinuousBatchingKvCacheCollection,
  KvCacheStaticParams,
} from "./batching/value.ts"
export { of } from "./batching/value.ts"
export { blocks, fromTensor } from "./batching/dense.ts"
export { append, step, type Stepped } from "./batching/grow.ts"

/** Sizes of a collection and of the arena it lies in. */
export interface Sizes {
  readonly kvParams: KvCacheStaticParams
  /** Sequence slots that the caller numbers. */
  readonly numBlocks: number
  readonly numLayers: number
  /** Tokens a block holds. */
  readonly maxSeqLen: number
  /** Default `"f32"`. */
  readonly dtype?: Layout.Storage
  /** With latent attention: elements of a key that are its value. Default: all. */
  readonly valueDim?: number
  /** Blocks of memory: what is more than `numBlocks` holds older values' blocks. Default: one more. */
  readonly arenaBlocks?: number
}

const sizesError = ({ kvParams, numBlocks, numLayers, maxSeqLen }: Sizes) => {
  const { numHeads, headSize } = kvParams
  const sizes = { numHeads, headSize, numBlocks, numLayers, maxSeqLen }
  for (const [name, value] of Object.entries(sizes)) {
    if (Number.isSafeInteger(value) && value >= 1) continue
    return new InvalidArgument({ name, value, need: "a whole number, at least 1" })
  }
}

/** The layout of such a buffer; sizes whose offsets do not fit 32 bits are refused. */
export const layout = (sizes: Sizes): Result.Result<Layout.Layout, InvalidArgument> =>
  Result.gen(function* () {
    const { kvParams: { numHeads, headSize, isMla }, numBlocks, numLayers, maxSeqLen } = sizes
    const bad = sizesError(sizes)
    if (bad !== undefined) return yield* Result.fail(bad)
    const made = yield* Layout.make({
      layers: numLayers,
      keyHeads: numHeads,
      keyDim: headSize,
      valueDim: sizes.valueDim ?? headSize,
      blockSize: maxSeqLen,
      dtype: sizes.dtype ?? "f32",
      placement: isMla ? "latent" : "fused",
    })
    const far = Layout.offsetsError(made, [sizes.arenaBlocks ?? numBlocks + 1])
    return far === undefined ? made : yield* Result.fail(far)
  })

/** An empty collection in an arena of its own, whose memory belongs to the scope. */
export const make = (
  options: Sizes & BatchOptions,
): Effect.Effect<
  ContinuousBatchingKvCacheCollection,
  BatchError | ArenaTooLarge | GpuFault,
  Gpu.Gpu | Scope.Scope
> =>
  Effect.gen(function* () {
    const made = yield* Effect.fromResult(layout(options))
    const arena = yield* Arena.make(made, options.arenaBlocks ?? options.numBlocks + 1)
    const pages = yield* Effect.fromResult(Pages.make(arena, options.numBlocks))
    return yield* Effect.fromResult(of(pages, options))
  })

/** Keys of a layer: the same memory, under the strides of the whole buffer. */
export const getKeyCache = (
  self: ContinuousBatchingKvCacheCollection,
  layer: number,
): Result.Result<ContinuousBatchingKvCache, InvalidArgument> => viewOf(self, layer, "keys")

/** Values of a layer; with latent attention there are none. */
export const getValueCache = (
  self: ContinuousBatchingKvCacheCollection,
  layer: number,
): Result.Result<ContinuousBatchingKvCache, InvalidArgument> => viewOf(self, layer, "values")

/**
 * Attention of `query` `[tokens, numQHeads, headSize]`, the queries of all rows one after another, over one layer:
 * the last of a row's `queryLengths[b]` queries stands at its last token. Realises the blocks first.
 */
export const attend = (
  self: ContinuousBatchingKvCacheCollection,
  layer: number,
  query: Tensor.Tensor<"f32", "tokens numQHeads headDim">,
  queryLengths: ReadonlyArray<number>,
  options: Omit<ReadOptions, "layer"> = {},
): Effect.Effect<States, AttendError | RealizeError, Needs> => {
  const { pages, lookupTable, cacheLengths } = self
  const [expected, actual] = [lookupTable.length, queryLengths.length]
  if (expected !== actual) {
    const tensor = "queryLengths"
    return Effect.fail(new ShapeMismatch({ tensor, axis: "batch", expected, actual }))
  }
  const rows = lookupTable.map((block, b) => ({
    blocks: [block],
    contextLen: cacheLengths[b]!,
    queryLen: queryLengths[b]!,
  }))
  return attendPages(query, pages, rows, { ...options, layer })
}

/** A row of the batch as a sequence in pages, for `Interchange.toCache`. */
export const row = (
  self: ContinuousBatchingKvCacheCollection,
  bs: number,
): Result.Result<Interchange.PagesRow, UnknownSequence> => {
  const bad = sequenceError(self, bs)
  if (bad !== undefined) return Result.fail(bad)
  const { pages, lookupTable, cacheLengths } = self
  return Result.succeed({ pages, blocks: [lookupTable[bs]!], length: cacheLengths[bs]! })
}

/**
 * The collection whose row `bs` holds a cache's tokens, in its block of the table. In the cache's own arena the block
 * is shared; into another it is copied. Runs under a lease of the cache's arena.
 */
export const withRow = (
  self: ContinuousBatchingKvCacheCollection,
  bs: number,
  cache: KvCache,
  options: Interchange.Options = {},
): Effect.Effect<
  Interchange.Converted<ContinuousBatchingKvCacheCollection>,
  Interchange.ConvertError | BatchError | UnknownSequence,
  Needs
> => {
  const { pages, lookupTable, cacheLengths, maxCacheLength } = self
  const bad = sequenceError(self, bs) ?? sharedError(self, (b) => b === bs)
  if (bad !== undefined) return Effect.fail(bad)
  const target = { pages, blocks: [lookupTable[bs]!] }
  return Effect.flatMap(Interchange.toPages(cache, target, options), ({ value, copied }) => {
    const next = withPages(self, value, {
      cacheLengths: cacheLengths.with(bs, cache.length),
      maxCacheLength: Math.max(maxCacheLength, cache.length),
    })
    return Effect.map(Effect.fromResult(next), (value) => ({ value, copied }))
  })
}
