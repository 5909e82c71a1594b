/** Elements of one layer's keys or values: where they are, reading and replacing some. @module */
import { Effect, Result } from "effect"
import type { Needs } from "../../cache/Flight.ts"
import { gatherLayerTo, gatherTo, type Piece } from "../../cache/gather.ts"
import * as Pages from "../../cache/Pages.ts"
import type { RealizeError } from "../../cache/Realize.ts"
import { storedTo } from "../../cache/stored.ts"
import type { AnyRows, KvCache } from "../../cache/value.ts"
import type { WriteError } from "../../cache/write.ts"
import { InvalidArgument, type ShapeMismatch, type UnknownSequence } from "../../errors.ts"
import * as Recording from "../../tensor/Recording.ts"
import * as Shape from "../../tensor/Shape.ts"
import * as Tensor from "../../tensor/Tensor.ts"
import {
  type BatchError,
  type ContinuousBatchingKvCache,
  sequenceError,
  viewOf,
  withPages,
} from "./value.ts"

/** An element: a row of the batch, a head, a token of the row's block, and where in the head. */
export interface Place {
  readonly bs: number
  readonly head: number
  readonly tok: number
  /** Default 0. */
  readonly dim?: number
}

/** Why a place is none. */
export type PlaceError = UnknownSequence | InvalidArgument

/** What is wrong with one index. */
export const indexError = (
  name: string,
  value: number,
  size: number,
): InvalidArgument | undefined =>
  Number.isSafeInteger(value) && value >= 0 && value < size
    ? undefined
    : new InvalidArgument({ name, value, need: `from 0 to ${size - 1}` })

/** What is wrong with `width` elements of one head. */
export const placeError = (
  view: ContinuousBatchingKvCache,
  { bs, head, tok, dim = 0 }: Place,
  width: number,
): PlaceError | undefined => {
  const [, maxSeqLen = 0, heads = 0, headSize = 0] = view.blocksShape
  const bad = sequenceError(view, bs) ?? indexError("head", head, heads) ??
    indexError("tok", tok, maxSeqLen) ?? indexError("dim", dim, headSize)
  if (bad !== undefined) return bad
  if (!(Number.isSafeInteger(width) && width >= 1 && dim + width <= headSize)) {
    const need = `a whole number from 1 to ${headSize - dim}, what is left of the head from ${dim}`
    return new InvalidArgument({ name: "width", value: width, need })
  }
}

/** The page of a row of the batch. */
export const pageOf = (
  { collection: { pages }, lookupTable }: ContinuousBatchingKvCache,
  bs: number,
): KvCache => Pages.at(pages, lookupTable[bs]!)

/** What nobody wrote is never read. */
const heldError = (
  view: ContinuousBatchingKvCache,
  bs: number,
  tok: number,
): InvalidArgument | undefined => {
  const { length } = pageOf(view, bs)
  const need = `below ${length}, the tokens that block ${view.lookupTable[bs]} holds`
  return tok < length ? undefined : new InvalidArgument({ name: "tok", value: tok, need })
}

/** Some tokens of pages of one layer's half. */
const read = (
  { collection: { pages }, layer, kind }: ContinuousBatchingKvCache,
  tokens: number,
  pieces: ReadonlyArray<Piece>,
) =>
  Pages.reading(
    "read a batch",
    pieces.map(({ cache }) => cache),
    ({ transaction }) =>
      Effect.fromResult(gatherLayerTo(transaction, pages.arena, layer, kind, tokens, pieces)),
  )

/**
 * `width` elements of one head of a token that its block holds, widened to f32. Realises the block first. One
 * launch.
 */
export const load = (
  view: ContinuousBatchingKvCache,
  width: number,
  place: Place,
): Effect.Effect<Tensor.Tensor<"f32", "width">, PlaceError | RealizeError, Needs> => {
  const { bs, head, tok, dim = 0 } = place
  const bad = placeError(view, place, width) ?? heldError(view, bs, tok)
  if (bad !== undefined) return Effect.fail(bad)
  const at = head * view.kvParams.headSize + dim
  return Effect.flatMap(
    read(view, 1, [{ cache: pageOf(view, bs), from: tok, to: tok + 1, row: 0 }]),
    (row) => Recording.op((rec) => Tensor.sliceTo(rec, flat(row), "width", at, at + width)),
  )
}

const flat = (x: Tensor.Tensor<"f32", string>): Tensor.Tensor<"f32", "width"> => ({
  ...x,
  axes: "width",
  shape: [Shape.size(x.shape)],
})

/** All tokens that a row's block holds, `[tokens, heads, dim]`, widened to f32. One launch. */
export const sequence = (
  view: ContinuousBatchingKvCache,
  bs: number,
): Effect.Effect<
  Tensor.Tensor<"f32", "tokens heads dim">,
  UnknownSequence | RealizeError,
  Needs
> => {
  const bad = sequenceError(view, bs)
  if (bad !== undefined) return Effect.fail(bad)
  const cache = pageOf(view, bs)
  return read(view, cache.length, [{ cache, from: 0, to: cache.length, row: 0 }])
}

/**
 * `[numBlocks, maxSeqLen, numHeads, headSize]`: a copy of what the view sees, widened to f32, with zeros where
 * nobody wrote. A launch for each run of full blocks.
 */
export const blocks = (
  view: ContinuousBatchingKvCache,
): Effect.Effect<
  Tensor.Tensor<"f32", "numBlocks maxSeqLen numHeads headSize">,
  RealizeError,
  Needs
> => {
  const { pages, numBlocks, maxSeqLen } = view.collection
  const bad = Pages.denseError(pages)
  if (bad !== undefined) return Effect.fail(bad)
  const pieces = Array.from({ length: numBlocks }, (_, page): Piece => {
    const cache = Pages.at(pages, page)
    return { cache, from: 0, to: cache.length, row: page * maxSeqLen }
  })
  return Effect.map(
    read(view, numBlocks * maxSeqLen, pieces.filter(({ to }) => to > 0)),
    (all) => ({
      ...all,
      axes: "numBlocks maxSeqLen numHeads headSize",
      shape: view.blocksShape,
    }),
  )
}

/** A token of all layers with some elements of one half replaced. */
const replaced = (
  rec: Recording.Open,
  { collection, kind }: ContinuousBatchingKvCache,
  row: Piece | undefined,
  at: number,
  values: Tensor.Tensor<"f32", "width">,
): Result.Result<AnyRows, ShapeMismatch | InvalidArgument> =>
  Result.gen(function* () {
    const { arena } = collection.pages
    const token = yield* gatherTo(rec, arena, 1, row === undefined ? [] : [row])
    const old = flat(token[kind])
    const end = at + values.shape[0]!
    const before = yield* Tensor.sliceTo(rec, old, "width", 0, at)
    const after = yield* Tensor.sliceTo(rec, old, "width", end, old.shape[0]!)
    const head = yield* Tensor.concatTo(rec, before, values, "width")
    const all = yield* Tensor.concatTo(rec, head, after, "width")
    const next = { ...token, [kind]: { ...token[kind], slot: all.slot } }
    const keys = yield* storedTo(rec, arena.layout, next.keys)
    if (collection.kvParams.isMla) return { latent: keys }
    return { keys, values: yield* storedTo(rec, arena.layout, next.values) }
  })

/**
 * The view with these elements of one head replaced; every other element, and the older view, stay as they were.
 * The token is one that its block holds, or the one after: then its other elements are zeros. Lengths stay as they
 * are. Realising it copies the block, unless the token is new.
 */
export const store = (
  view: ContinuousBatchingKvCache,
  place: Place,
  values: ArrayLike<number> | Tensor.Tensor<"f32", "width">,
): Effect.Effect<
  ContinuousBatchingKvCache,
  PlaceError | RealizeError | WriteError | BatchError,
  Needs
> => {
  const { bs, head, tok, dim = 0 } = place
  const given = "slot" in values
    ? values
    : Recording.fresh("f32", "width", [values.length], Float32Array.from(values))
  const bad = placeError(view, place, given.shape[0]!)
  if (bad !== undefined) return Effect.fail(bad)
  const { collection, layer, kind, lookupTable } = view
  const { pages, kvParams: { numHeads, headSize } } = collection
  const cache = pageOf(view, bs)
  if (tok > cache.length) {
    const need = `at most ${cache.length}, the tokens that block ${lookupTable[bs]} holds`
    return Effect.fail(new InvalidArgument({ name: "tok", value: tok, need }))
  }
  const row = tok < cache.length ? { cache, from: tok, to: tok + 1, row: 0 } : undefined
  const at = (layer * numHeads + head) * headSize + dim
  const run = { page: lookupTable[bs]!, offset: tok, from: 0, count: 1 }
  return Pages.reading(
    "store in a batch",
    [cache],
    ({ transaction }) =>
      Effect.fromResult(Result.gen(function* () {
        const rows = yield* replaced(transaction, view, row, at, given)
        const next = yield* withPages(collection, yield* Pages.write(pages, rows, [run]))
        return yield* viewOf(next, layer, kind)
      })),
  )
}
