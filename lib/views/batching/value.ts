/** What a batch over fused sequence slots is, and when it is one. @module */
import { Result } from "effect"
import { grouped } from "../../cache/grouped.ts"
import type { Kind, Layout, Storage } from "../../cache/Layout.ts"
import * as Layouts from "../../cache/Layout.ts"
import * as Pages from "../../cache/Pages.ts"
import {
  CapacityExceeded,
  DuplicateBlock,
  InvalidArgument,
  LayoutMismatch,
  ShapeMismatch,
  UnknownSequence,
} from "../../errors.ts"
import { largest } from "../../tensor/numbers.ts"

/** Sizes that kernels are made for. */
export interface KvCacheStaticParams {
  /** Heads of keys, and of values. */
  readonly numHeads: number
  readonly headSize: number
  /** Keys alone are stored; values are their first elements. */
  readonly isMla: boolean
}

/** Which rows there are, and how much each holds. */
export interface Batch {
  /** Row of the batch → block. */
  readonly lookupTable: ReadonlyArray<number>
  /** Tokens that each row held before this step. */
  readonly cacheLengths: ReadonlyArray<number>
  /** Most new tokens of a row in this step. */
  readonly maxSeqLength: number
  /** Most tokens of a row, its new ones included. */
  readonly maxCacheLength: number
}

/** A batch as it is given. */
export interface BatchOptions {
  /** `[batch]`: block of each row. */
  readonly lookupTable: ArrayLike<number>
  /** `[batch]`: tokens that each row holds. */
  readonly cacheLengths: ArrayLike<number>
  /** Default 0. */
  readonly maxSeqLength?: number
  /** Default: the largest of `cacheLengths`. */
  readonly maxCacheLength?: number
}

/** Some sequences of all layers, each in one block of a fused buffer. */
export interface ContinuousBatchingKvCacheCollection extends Batch {
  /** Page i is the caller's block i. */
  readonly pages: Pages.Pages
  readonly kvParams: KvCacheStaticParams
  readonly dtype: Storage
  readonly numBlocks: number
  readonly numLayers: number
  /** Tokens a block holds. */
  readonly maxSeqLen: number
}

/** One layer's keys or values of a collection. */
export interface ContinuousBatchingKvCache extends Batch {
  readonly collection: ContinuousBatchingKvCacheCollection
  readonly layer: number
  readonly kind: Kind
  readonly kvParams: KvCacheStaticParams
  readonly dtype: Storage
  /** `[numBlocks, maxSeqLen, numHeads, headSize]` */
  readonly blocksShape: ReadonlyArray<number>
  /** Elements from one to the next along each axis: those of the buffer of all layers. */
  readonly blocksStride: ReadonlyArray<number>
}

/** What a batch may be refused with. */
export type BatchError = InvalidArgument | ShapeMismatch | CapacityExceeded | LayoutMismatch

const countError = (name: string, value: number, most: number) => {
  if (!(Number.isSafeInteger(value) && value >= 0)) {
    return new InvalidArgument({ name, value, need: "a whole number, at least 0" })
  }
  if (value > most) return new CapacityExceeded({ needed: value, capacity: most })
}

const batchError = (
  pages: Pages.Pages,
  { lookupTable, cacheLengths, maxSeqLength, maxCacheLength }: Batch,
): BatchError | undefined => {
  const { blockSize } = pages.arena.layout
  const [expected, actual] = [lookupTable.length, cacheLengths.length]
  if (expected !== actual) {
    return new ShapeMismatch({ tensor: "cacheLengths", axis: "batch", expected, actual })
  }
  for (const [b, block] of lookupTable.entries()) {
    const bad = Pages.pageError(pages, `lookupTable[${b}]`, block) ??
      countError(`cacheLengths[${b}]`, cacheLengths[b]!, blockSize)
    if (bad !== undefined) return bad
    const { length } = Pages.at(pages, block)
    if (cacheLengths[b]! <= length) continue
    const need = `at most ${length}, the tokens that block ${block} holds`
    return new InvalidArgument({ name: `cacheLengths[${b}]`, value: cacheLengths[b]!, need })
  }
  const longest = largest(cacheLengths, 0)
  const bad = countError("maxSeqLength", maxSeqLength, blockSize) ??
    countError("maxCacheLength", maxCacheLength, blockSize)
  if (bad !== undefined || maxCacheLength >= longest) return bad
  const need = `at least ${longest}, the longest of cacheLengths`
  return new InvalidArgument({ name: "maxCacheLength", value: maxCacheLength, need })
}

const layoutError = (layout: Layout): LayoutMismatch | undefined => {
  const wrong = (field: string, expected: string, actual: string) =>
    new LayoutMismatch({ field, expected, actual })
  if (layout.placement !== "fused" && layout.placement !== "latent") {
    return wrong("placement", '"fused", or "latent" for keys alone,', `"${layout.placement}"`)
  }
  if (layout.groups.length !== 1) {
    return wrong("number of layer groups", "1", `${layout.groups.length}`)
  }
}

/** A collection over pages of an arena; nothing is copied. */
export const of = (
  pages: Pages.Pages,
  options: BatchOptions,
): Result.Result<ContinuousBatchingKvCacheCollection, BatchError> => {
  const { layout } = pages.arena
  const cacheLengths = Array.from(options.cacheLengths)
  const batch: Batch = {
    lookupTable: Array.from(options.lookupTable),
    cacheLengths,
    maxSeqLength: options.maxSeqLength ?? 0,
    maxCacheLength: options.maxCacheLength ?? largest(cacheLengths, 0),
  }
  const bad = layoutError(layout) ?? batchError(pages, batch)
  if (bad !== undefined) return Result.fail(bad)
  return Result.succeed({
    ...batch,
    pages,
    kvParams: {
      numHeads: layout.keyHeads,
      headSize: layout.keyDim,
      isMla: layout.placement === "latent",
    },
    dtype: layout.dtype,
    numBlocks: pages.numPages,
    numLayers: layout.layers,
    maxSeqLen: layout.blockSize,
  })
}

/** The same rows over other pages. */
export const withPages = (
  { lookupTable, cacheLengths, maxSeqLength, maxCacheLength }: ContinuousBatchingKvCacheCollection,
  pages: Pages.Pages,
  changed: Partial<Batch> = {},
): Result.Result<ContinuousBatchingKvCacheCollection, BatchError> =>
  of(pages, { lookupTable, cacheLengths, maxSeqLength, maxCacheLength, ...changed })

/** One layer's keys or values: the same memory. */
export const viewOf = (
  collection: ContinuousBatchingKvCacheCollection,
  layer: number,
  kind: Kind,
): Result.Result<ContinuousBatchingKvCache, InvalidArgument> => {
  const { pages, numBlocks, numLayers, maxSeqLen, kvParams, dtype } = collection
  if (!(Number.isSafeInteger(layer) && layer >= 0 && layer < numLayers)) {
    const need = `a layer from 0 to ${numLayers - 1}`
    return Result.fail(new InvalidArgument({ name: "layer", value: layer, need }))
  }
  if (kind === "values" && kvParams.isMla) {
    const need = "keys: with latent attention there is no buffer of values"
    return Result.fail(new InvalidArgument({ name: "the cache", value: kind, need }))
  }
  const { block, slot, head } = Layouts.strides(pages.arena.layout, layer, kind)
  return Result.succeed({
    collection,
    layer,
    kind,
    kvParams,
    dtype,
    blocksShape: [numBlocks, maxSeqLen, kvParams.numHeads, kvParams.headSize],
    blocksStride: [block, slot, head, 1],
    lookupTable: collection.lookupTable,
    cacheLengths: collection.cacheLengths,
    maxSeqLength: collection.maxSeqLength,
    maxCacheLength: collection.maxCacheLength,
  })
}

/** What is wrong with a row of the batch. */
export const sequenceError = (
  { lookupTable }: Pick<Batch, "lookupTable">,
  sequence: number,
): UnknownSequence | undefined =>
  Number.isSafeInteger(sequence) && sequence >= 0 && sequence < lookupTable.length
    ? undefined
    : new UnknownSequence({ sequence, sequences: lookupTable.length })

/** A row that is about to change must be the only one of its block. */
export const sharedError = (
  { lookupTable }: Batch,
  changes: (row: number) => boolean,
): DuplicateBlock | undefined => {
  const rows = grouped(lookupTable.keys(), (b) => lookupTable[b]!)
  for (const [b, block] of lookupTable.entries()) {
    const other = rows.get(block)!.find((row) => row !== b)
    if (other === undefined || !changes(b)) continue
    return new DuplicateBlock({ block, owner: `row ${other} of the batch as well` })
  }
}
