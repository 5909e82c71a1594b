/** New, empty views and caches. @module */
import { Effect, Result, type Scope } from "effect"
import * as Arena from "../../cache/Arena.ts"
import * as Layout from "../../cache/Layout.ts"
import { empty } from "../../cache/value.ts"
import type { Gpu } from "../../device/service.ts"
import { type ArenaTooLarge, type GpuFault, InvalidArgument, LayoutMismatch } from "../../errors.ts"
import { detailOf, type TransformerCacheMetaData } from "../TransformerCacheMetaData.ts"
import type { AttnMaskDetail } from "./AttnMaskDetail.ts"
import { listOf } from "./check.ts"
import { divisible } from "./concatenate.ts"
import type { Partitioning } from "./partition.ts"
import * as Quantizer from "./Quantizer.ts"
import { MODE_PREFILL } from "./RuntimeMode.ts"
import { cacheOf, type TransformerCache, type TransformerCacheView, view } from "./value.ts"

/** How the arena of a cache is laid out. */
export interface LayoutOptions {
  /** Default `"bf16"`. */
  readonly dtype?: Layout.Storage
  /** Decides the dtype if it stores in one of its own. */
  readonly quantizer?: Quantizer.Quantizer
  /**
   * Tokens of a block. Default `sequenceLength`: a row lies in one piece. Where layers slide, smaller blocks are let
   * go as the window moves on, and a row that was forked copies one block rather than all of it.
   */
  readonly blockSize?: number
}

/** The layout of an arena for such a cache: one layer, as every layer and row is a sequence of its own. */
export const layoutOf = (
  { keyHeads, valueHeads, keyDim, valueDim, sequenceLength }: TransformerCacheMetaData,
  { dtype = "bf16", quantizer = Quantizer.none, blockSize = sequenceLength }: LayoutOptions = {},
): Result.Result<Layout.Layout, InvalidArgument> =>
  Layout.make({
    layers: 1,
    keyHeads,
    valueHeads,
    keyDim,
    valueDim,
    blockSize,
    capacity: sequenceLength,
    dtype: quantizer.storage ?? dtype,
  })

/** What a view is made with. */
export interface ViewOptions {
  readonly metadata: TransformerCacheMetaData
  /** First position of each row that is no padding. Default 0. */
  readonly starts?: ReadonlyArray<number>
  readonly layerIndex?: number
  /** Default: the metadata's sliding window, or else all of the past. */
  readonly maskingDetails?: AttnMaskDetail
  /** Default `Quantizer.none`. */
  readonly quantizer?: Quantizer.Quantizer
}

const arenaError = (
  { layout }: Arena.Arena,
  { metadata, quantizer = Quantizer.none }: ViewOptions,
): LayoutMismatch | undefined => {
  const { keyHeads, valueHeads, keyDim, valueDim } = metadata
  const needs = { layers: 1, keyHeads, valueHeads, keyDim, valueDim }
  for (const [field, expected] of Object.entries(needs)) {
    const actual = layout[field as keyof typeof needs]
    if (actual !== expected) {
      return new LayoutMismatch({ field, expected: `${expected}`, actual: `${actual}` })
    }
  }
  const { storage = layout.dtype } = quantizer
  return storage === layout.dtype
    ? undefined
    : new LayoutMismatch({ field: "dtype", expected: storage, actual: layout.dtype })
}

const numbersError = (
  { metadata, starts, layerIndex }: ViewOptions,
): InvalidArgument | undefined => {
  const { batchSize, sequenceLength, numHiddenLayers } = metadata
  const bad = listOf("starts", starts, batchSize) ?? startsError(starts, sequenceLength)
  if (bad !== undefined || layerIndex === undefined) return bad
  return layerError(layerIndex, numHiddenLayers)
}

/** What is wrong with a layer's number. Internal. */
export const layerError = (layer: number, layers: number): InvalidArgument | undefined => {
  if (Number.isSafeInteger(layer) && layer >= 0 && layer < layers) return undefined
  const need = `a layer from 0 to ${layers - 1}`
  return new InvalidArgument({ name: "layerIndex", value: layer, need })
}

/** What is wrong with starts that are whole numbers. Internal. */
export const startsError = (
  starts: ReadonlyArray<number> | undefined,
  most: number,
): InvalidArgument | undefined => {
  const value = starts?.find((start) => start > most)
  const need = `at most ${most}, the tokens of a row`
  return value === undefined ? undefined : new InvalidArgument({ name: "starts", value, need })
}

/** An empty view of one layer over an arena that `layoutOf` lays out. Touches no device. O(batch). */
export const init = (
  arena: Arena.Arena,
  options: ViewOptions,
): Result.Result<TransformerCacheView, InvalidArgument | LayoutMismatch> => {
  const { metadata, starts, layerIndex, quantizer = Quantizer.none } = options
  const bad = arenaError(arena, options) ?? numbersError(options)
  if (bad !== undefined) return Result.fail(bad)
  return Result.map(detailOf(metadata, options.maskingDetails), (maskingDetails) =>
    view({
      rows: Array.from({ length: metadata.batchSize }, () => empty(arena)),
      arena,
      starts: starts ?? new Array<number>(metadata.batchSize).fill(0),
      metadata,
      maximumSequenceLength: metadata.sequenceLength,
      layerIndex,
      maskingDetails,
      quantizer,
    }))
}

/** What a cache is made with. */
export interface CacheOptions extends LayoutOptions, Pick<ViewOptions, "metadata" | "starts"> {
  /** The masks of some layers, by their number. */
  readonly maskTypeDetails?: { readonly [layer: number]: AttnMaskDetail }
  /** Blocks of the arena. Default: all rows of all layers, and one row of each to spare for forks and inserts. */
  readonly numBlocks?: number
  /** Sizes must divide by it. */
  readonly partitioning?: Partitioning
  /** An arena that is there already, laid out by `layoutOf`. Default: a new one, which the scope owns. */
  readonly arena?: Arena.Arena
}

/** What making a cache may fail with. */
export type InitError = InvalidArgument | LayoutMismatch | ArenaTooLarge | GpuFault

/** An arena for these rows of all layers. Internal. */
export const arenaFor = (
  metadata: TransformerCacheMetaData,
  options: LayoutOptions & { readonly numBlocks?: number },
): Effect.Effect<Arena.Arena, InitError, Gpu | Scope.Scope> =>
  Effect.flatMap(Effect.fromResult(layoutOf(metadata, options)), (layout) => {
    const { batchSize, numHiddenLayers, sequenceLength } = metadata
    const row = Math.ceil(sequenceLength / layout.blockSize)
    const { numBlocks = (batchSize + 1) * numHiddenLayers * row } = options
    return Arena.make(layout, numBlocks)
  })

/**
 * An empty cache of all layers. Its memory, bf16 unless told, belongs to the scope.
 *
 * @example
 * ```ts
 * import { Effect, Result } from "effect"
 * import { AttnMaskType, TransformerCache, TransformerCacheMetaData } from "@kvasir/kvasir"
 * const metadata = Result.getOrThrow(TransformerCacheMetaData.create({
 *   batchSize: 2, sequenceLength: 512, numHiddenLayers: 2, padTokenId: 0, numHeads: 8, headDim: 64,
 * }))
 * const cache = TransformerCache.initCache({
 *   metadata,
 *   maskTypeDetails: { 1: { maskType: AttnMaskType.SLIDING, size: 128 } },
 *   blockSize: 64,
 * })
 * ```
 */
export const initCache = (
  options: CacheOptions,
): Effect.Effect<TransformerCache, InitError, Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    const { metadata, starts, quantizer, maskTypeDetails = {}, partitioning } = options
    for (const layer of Object.keys(maskTypeDetails)) {
      const bad = layerError(Number(layer), metadata.numHiddenLayers)
      if (bad !== undefined) return yield* bad
    }
    const views = (arena: Arena.Arena) =>
      Array.from({ length: metadata.numHiddenLayers }, (_, layerIndex) =>
        init(arena, {
          metadata,
          layerIndex,
          ...(starts !== undefined && { starts }),
          ...(quantizer !== undefined && { quantizer }),
          ...(maskTypeDetails[layerIndex] && { maskingDetails: maskTypeDetails[layerIndex] }),
        }))
    const arena = options.arena ?? (yield* arenaFor(metadata, options))
    const made = yield* Effect.fromResult(Result.all(views(arena)))
    if (partitioning !== undefined) {
      const bad = divisible(made[0]!, MODE_PREFILL, partitioning)
      if (bad !== undefined) return yield* bad
    }
    return cacheOf(made)
  })

/** More than any model has. */
const mostLayers = 65_536

/** A cache whose layers have no views yet. */
export const initEmpty = (
  numHiddenLayers: number,
): Result.Result<TransformerCache, InvalidArgument> => {
  if (
    Number.isSafeInteger(numHiddenLayers) && numHiddenLayers >= 1 && numHiddenLayers <= mostLayers
  ) {
    return Result.succeed(cacheOf(new Array<undefined>(numHiddenLayers).fill(undefined)))
  }
  const need = numHiddenLayers > mostLayers ? `at most ${mostLayers}` : "a whole number, at least 1"
  return Result.fail(
    new InvalidArgument({ name: "numHiddenLayers", value: numHiddenLayers, need }),
  )
}
