/** What a view of one layer is, and what the cache of all layers. @module */
import type { Arena } from "../../cache/Arena.ts"
import type { KvCache } from "../../cache/value.ts"
import { Keep, type Keeper } from "../../tensor/Recording.ts"
import type { TransformerCacheMetaData } from "../TransformerCacheMetaData.ts"
import { type AttnMaskDetail, windowOf } from "./AttnMaskDetail.ts"
import type { Quantizer } from "./Quantizer.ts"

/** Keys that runtimes ask for when they print a value. */
const inspectors = [Symbol.for("nodejs.util.inspect.custom"), Symbol.for("Deno.customInspect")]

/** Keys and values of one layer, for every row of a batch: each row is a cache of its own. */
export interface TransformerCacheView extends Keeper {
  /** One sequence a row, of an arena with one layer. */
  readonly rows: ReadonlyArray<KvCache>
  readonly arena: Arena
  /** Tokens that each row holds: the position of its next one. */
  readonly indexs: ReadonlyArray<number>
  /** First position of each row that is no padding; positions below it are never seen. */
  readonly starts: ReadonlyArray<number>
  readonly metadata: TransformerCacheMetaData
  /** Most tokens of a row. */
  readonly maximumSequenceLength: number
  readonly layerIndex: number | undefined
  /** What the layer sees; undefined is all of the past. */
  readonly maskingDetails: AttnMaskDetail | undefined
  readonly quantizer: Quantizer
  readonly toString: () => string
}

/** A view's fields that are not derived. */
export type Parts = Omit<TransformerCacheView, "indexs" | "toString" | keyof Keeper>

/** Positions that `materialize` has room for. */
export const room = (
  { maximumSequenceLength, maskingDetails }: Pick<
    Parts,
    "maximumSequenceLength" | "maskingDetails"
  >,
): number => Math.min(maximumSequenceLength, windowOf(maskingDetails) ?? Infinity)

/** The view's name, the shapes of its keys and values, and its layer. */
export const show = (view: TransformerCacheView): string => {
  const { metadata, rows, layerIndex = "none" } = view
  const { keyHeads, valueHeads, keyDim, valueDim } = metadata
  const shape = (heads: number, dim: number) =>
    `[${[rows.length, room(view), heads, dim].join(", ")}]`
  const [key, value] = [shape(keyHeads, keyDim), shape(valueHeads, valueDim)]
  return `TransformerCacheView(key=${key}, value=${value}, layerIndex=${layerIndex})`
}

/** Printing is no part of what a value is: it does not show among its fields. */
const printed = <T extends object>(value: T, text: (value: T) => string): T => {
  const property = { value: () => text(value), enumerable: false }
  for (const name of ["toString", ...inspectors]) Object.defineProperty(value, name, property)
  return value
}

const owedBy = (rows: ReadonlyArray<KvCache>) =>
  function* () {
    for (const row of rows) yield* row[Keep]()
  }

/** A view. Internal. */
export const view = (parts: Parts): TransformerCacheView => {
  const { rows, arena, starts, metadata, maximumSequenceLength } = parts
  const { layerIndex, maskingDetails, quantizer } = parts
  const indexs = rows.map(({ length }) => length)
  const fixed = { rows, arena, indexs, starts, metadata, maximumSequenceLength }
  const named = { ...fixed, layerIndex, maskingDetails, quantizer, [Keep]: owedBy(rows) }
  return printed<TransformerCacheView>(named, show)
}

/** Is there nothing in it: no view at all, or no token in any row? */
export const isEmpty = (self: TransformerCacheView | undefined): boolean =>
  self === undefined || self.indexs.every((n) => n === 0)

/** The views of all layers; undefined is a layer without one. */
export interface TransformerCache extends Keeper {
  readonly views: ReadonlyArray<TransformerCacheView | undefined>
  readonly toString: () => string
}

/** The cache's name and its views, one a line. */
export const showAll = ({ views }: TransformerCache): string =>
  `TransformerCache(\n  ${views.map((one) => one?.toString() ?? "none").join("\n  ")}\n)`

/** A cache of these views. Internal. */
export const cacheOf = (
  views: ReadonlyArray<TransformerCacheView | undefined>,
): TransformerCache => {
  const rows = views.flatMap((one) => one?.rows ?? [])
  return printed<TransformerCache>({ views, [Keep]: owedBy(rows) }, showAll)
}

/** The sequences of all layers and rows: what `KvCache.realize` places and `Lease.keep` keeps. */
export const sequences = ({ views }: TransformerCache): ReadonlyArray<KvCache> =>
  views.flatMap((one) => one?.rows ?? [])
