/**
 * Where elements of a view lie, as kernels bind them: what a pointer or a descriptor of a tile is elsewhere.
 *
 * Numbers of blocks are the caller's; where a block lies is the ledger's decision. So a plan has both: `offset` in
 * the buffer that a kernel reads, and the offsets that the caller's numbers alone would give.
 *
 * @module
 */
import { Effect, Result } from "effect"
import type { Needs } from "../../cache/Flight.ts"
import * as Layout from "../../cache/Layout.ts"
import * as Pages from "../../cache/Pages.ts"
import { tablesOf } from "../../cache/Plan.ts"
import type { RealizeError } from "../../cache/Realize.ts"
import * as Table from "../../cache/Table.ts"
import type { KvCache } from "../../cache/value.ts"
import { InvalidArgument, type UnknownSequence } from "../../errors.ts"
import type { Tensor } from "../../tensor/value.ts"
import { indexError, pageOf, type Place, type PlaceError, placeError } from "./elements.ts"
import { type ContinuousBatchingKvCache, sequenceError } from "./value.ts"

/** Elements of a buffer: element (i, j) is at `offset + i · strides[0] + j · strides[1]`. */
export interface BindingPlan {
  /** The arena's pool, to bind for reading. It holds what it says while a lease holds the cache. */
  readonly buffer: Tensor<Layout.Storage, "pool">
  readonly offset: number
  readonly strides: readonly [number, number]
  readonly shape: readonly [number, number]
}

/** A tile of one head's rows. */
export interface BlockPlan extends BindingPlan {
  /** Elements from the view's first, if block i lay at place i. */
  readonly viewOffset: number
  /** The same from the first of the buffer of all layers. */
  readonly poolOffset: number
}

/** How a device may store a tile it has loaded: nothing that a result depends on. */
export type Swizzle = "none" | "32B" | "64B" | "128B"

/** A tile's sizes and form. */
export interface TileOptions {
  /** Rows (tokens) of a tile. */
  readonly tileM: number
  /** Columns (elements of all heads) of a tile. */
  readonly tileN: number
  readonly swizzle: Swizzle
  /** Whether a tile's columns are its inner axis; else its rows are. */
  readonly isKMajor: boolean
}

/** The view as a matrix of `[tokens of all blocks, heads · headSize]`, to be read by tiles. */
export interface TilePlan extends BindingPlan, TileOptions {
  /** Row of the matrix where each row of the batch begins; undefined where its block holds nothing. */
  readonly firstRows: ReadonlyArray<number | undefined>
  /** Tokens that the block of each row of the batch holds. */
  readonly tokens: ReadonlyArray<number>
}

const strided = ({ collection: { pages }, layer, kind }: ContinuousBatchingKvCache) =>
  Layout.strides(pages.arena.layout, layer, kind)

/** Where the ledger has put a page. */
const blockOf = (cache: KvCache): number => Table.at(tablesOf(cache.node)![0]!, 0)!.id

const wholeError = (name: string, value: number, most: number, why: string) =>
  Number.isSafeInteger(value) && value >= 1 && value <= most
    ? undefined
    : new InvalidArgument({ name, value, need: `a whole number from 1 to ${most}, ${why}` })

/**
 * The rows of `tileSize` tokens of one head, from a place on: `[tileSize, headSize − dim]`. Inside what the row's
 * block holds; realises it first.
 */
export const blockPagedPtr = (
  view: ContinuousBatchingKvCache,
  tileSize: number,
  place: Place,
): Effect.Effect<BlockPlan, PlaceError | RealizeError, Needs> => {
  const { bs, head, tok, dim = 0 } = place
  const misplaced = placeError(view, place, 1)
  if (misplaced !== undefined) return Effect.fail(misplaced)
  const cache = pageOf(view, bs)
  const block = view.lookupTable[bs]!
  const why = `what is left from token ${tok} of the ${cache.length} that block ${block} holds`
  const bad = wholeError("tileSize", tileSize, cache.length - tok, why)
  if (bad !== undefined) return Effect.fail(bad)
  const { pages } = view.collection
  const { pool, base, ...strides } = strided(view)
  return Pages.reading("point into a batch", [cache], () =>
    Effect.sync((): BlockPlan => {
      const within = tok * strides.slot + head * strides.head + dim
      const viewOffset = block * strides.block + within
      return {
        buffer: pages.arena.pools[pool]!,
        offset: base + blockOf(cache) * strides.block + within,
        strides: [strides.slot, 1],
        shape: [tileSize, view.kvParams.headSize - dim],
        viewOffset,
        poolOffset: base + viewOffset,
      }
    }))
}

const swizzles: ReadonlyArray<Swizzle> = ["none", "32B", "64B", "128B"]

/**
 * The whole view as a matrix whose tiles a kernel reads with `tileAt`. Realises the blocks of all rows first.
 */
export const createTmaTile = (
  view: ContinuousBatchingKvCache,
  { tileM, tileN, swizzle, isKMajor }: TileOptions,
): Effect.Effect<TilePlan, InvalidArgument | RealizeError, Needs> => {
  const { collection: { pages, maxSeqLen }, kvParams: { numHeads }, lookupTable } = view
  const { pool, base, block, head, slot } = strided(view)
  const columns = numHeads * head
  const bad = wholeError("tileM", tileM, maxSeqLen, "the tokens of a block") ??
    wholeError("tileN", tileN, columns, "the elements of a token") ??
    (swizzles.includes(swizzle) ? undefined : new InvalidArgument({
      name: "swizzle",
      value: String(swizzle),
      need: swizzles.map((one) => `"${one}"`).join(" or "),
    }))
  if (bad !== undefined) return Effect.fail(bad)
  const caches = lookupTable.map((page) => Pages.at(pages, page))
  return Pages.reading("describe a batch", caches, () =>
    Effect.sync((): TilePlan => {
      const rows = (pages.arena.ledgers[0]!.numBlocks - 1) * (block / slot) + maxSeqLen
      return {
        buffer: pages.arena.pools[pool]!,
        offset: base,
        strides: isKMajor ? [slot, 1] : [1, slot],
        shape: isKMajor ? [rows, columns] : [columns, rows],
        tileM,
        tileN,
        swizzle,
        isKMajor,
        firstRows: caches.map((cache) =>
          cache.length === 0 ? undefined : blockOf(cache) * (block / slot)
        ),
        tokens: caches.map(({ length }) => length),
      }
    }))
}

/** One tile, from a token of a row of the batch and a column on; inside what the row's block holds. */
export const tileAt = (
  plan: TilePlan,
  { bs, tok, col }: { readonly bs: number; readonly tok: number; readonly col: number },
): Result.Result<BindingPlan, UnknownSequence | InvalidArgument> => {
  const { buffer, offset, strides, shape, tileM, tileN, isKMajor, firstRows, tokens } = plan
  const columns = isKMajor ? shape[1] : shape[0]
  const bad = sequenceError({ lookupTable: tokens }, bs) ??
    indexError("tok", tok, Math.max(0, tokens[bs]! - tileM + 1)) ??
    indexError("col", col, columns - tileN + 1)
  if (bad !== undefined) return Result.fail(bad)
  const slot = isKMajor ? strides[0] : strides[1]
  return Result.succeed({
    buffer,
    offset: offset + (firstRows[bs]! + tok) * slot + col,
    strides,
    shape: isKMajor ? [tileM, tileN] : [tileN, tileM],
  })
}

/** Row of a token of the view as a matrix, if block i lay at place i. */
export const rowIdx = (
  view: ContinuousBatchingKvCache,
  bs: number,
  tok: number,
): Result.Result<number, PlaceError> => {
  const bad = sequenceError(view, bs) ?? indexError("tok", tok, view.collection.maxSeqLen)
  if (bad !== undefined) return Result.fail(bad)
  const { block, slot } = strided(view)
  return Result.succeed(view.lookupTable[bs]! * (block / slot) + tok)
}

/** Column of a head's first element in that matrix. */
export const colIdx = (
  view: ContinuousBatchingKvCache,
  head: number,
): Result.Result<number, InvalidArgument> => {
  const bad = indexError("head", head, view.kvParams.numHeads)
  return bad === undefined ? Result.succeed(head * strided(view).head) : Result.fail(bad)
}
