/** Batches in a fused buffer, beside plain lists of tokens. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import {
  ContinuousBatchingKvCache as View,
  ContinuousBatchingKvCacheCollection as Collection,
  Gpu,
  type KvCache,
  type Layout,
  type Lease,
  Pages,
  Program,
  Recording,
  type Tensor,
} from "../../mod.ts"
import { near } from "../../testing/world/readings.ts"
import * as Shelf from "./shelf.ts"
import { element, pack } from "../../testing/world/storage.ts"

/** A batch. */
export type Made = Collection.ContinuousBatchingKvCacheCollection

/** Sizes of a buffer. */
export interface Sizes {
  readonly numBlocks: number
  readonly numLayers: number
  readonly maxSeqLen: number
  readonly numHeads: number
  readonly headSize: number
  readonly valueDim: number
  readonly isMla: boolean
  readonly dtype: Layout.Given
}

/** A token: all of its elements `[kvDim, numLayers, numHeads, headSize]`. */
export type Token = ReadonlyArray<number>

/** Both halves. */
export const kinds = ["keys", "values"] as const

/** A token of a number: other elements for every number. */
export const tokenOf = ({ numLayers, numHeads, headSize, isMla }: Sizes, id: number): Token =>
  (isMla ? [kinds[0]] : kinds).flatMap((kind) =>
    Array.from(
      { length: numLayers },
      (_, layer) =>
        Array.from({ length: numHeads * headSize }, (_, i) =>
          element(id, layer, kind, Math.floor(i / headSize), i % headSize)),
    ).flat()
  )

/** Elements of one layer's half of a token. */
export const half = (
  { numLayers, numHeads, headSize, isMla, valueDim }: Sizes,
  token: Token,
  layer: number,
  kind: Layout.Kind,
): ReadonlyArray<number> => {
  const width = numHeads * headSize
  const from = (kind === "values" && !isMla ? numLayers + layer : layer) * width
  const row = token.slice(from, from + width)
  // With latent attention values are the first elements of each head's key.
  return kind === "values" && isMla ? row.filter((_, i) => i % headSize < valueDim) : row
}

/** Tokens as rows of a recording. */
export const rowsOf = (sizes: Sizes, tokens: ReadonlyArray<Token>): KvCache.AnyRows => {
  const { numLayers: layers, numHeads, headSize, isMla, dtype } = sizes
  const shape = [layers, tokens.length, numHeads, headSize]
  const data = (kind: Layout.Kind) =>
    pack(
      dtype,
      Array.from(
        { length: layers },
        (_, layer) => tokens.flatMap((token) => half(sizes, token, layer, kind)),
      ).flat(),
    )
  const keys = Recording.fresh(dtype, "layers tokens keyHeads keyDim", shape, data("keys"))
  if (isMla) return { latent: keys }
  const axes = "layers tokens valueHeads valueDim"
  return { keys, values: Recording.fresh(dtype, axes, shape, data("values")) }
}

/** The layout of such a buffer. */
export const layoutOf = ({ numHeads, headSize, isMla, ...sizes }: Sizes): Layout =>
  Result.getOrThrow(Collection.layout({ kvParams: { numHeads, headSize, isMla }, ...sizes }))

/** A shelf, and a collection on it that holds nothing. */
export const start = (
  sizes: Sizes,
  batch: number,
): { readonly shelf: Shelf.Shelf; readonly empty: Made } => {
  const shelf = Shelf.make(layoutOf(sizes))
  const pages = Result.getOrThrow(Pages.make(shelf.world.arena, sizes.numBlocks))
  const lookupTable = Array.from({ length: batch }, (_, b) => sizes.numBlocks - 1 - b)
  const empty = Result.getOrThrow(
    Collection.of(pages, { lookupTable, cacheLengths: lookupTable.map(() => 0) }),
  )
  return { shelf, empty }
}

/** A collection beside the tokens that each block holds. */
export interface Value {
  readonly collection: Made
  readonly blocks: ReadonlyArray<ReadonlyArray<Token>>
}

/** One layer and half. */
export const viewOf = (
  collection: Made,
  layer: number,
  kind: Layout.Kind,
): View.ContinuousBatchingKvCache =>
  Result.getOrThrow(
    (kind === "keys" ? Collection.getKeyCache : Collection.getValueCache)(collection, layer),
  )

/** Everything of a value that can be read, read. */
export const verify = (shelf: Shelf.Shelf, sizes: Sizes, { collection, blocks }: Value): void => {
  const { numBlocks, numLayers, maxSeqLen, numHeads, headSize, isMla } = sizes
  const run = <A extends Tensor.Any, E>(
    body: Effect.Effect<A, E, Recording | Recording.Transaction | Lease>,
  ) => Shelf.run(shelf, Effect.flatMap(Program.run(body), Gpu.read))
  const whole = blocks.flatMap((block) => {
    const tokens = Array.from({ length: maxSeqLen }, (_, t) => block[t])
    const nothing = new Array<number>(numHeads * headSize).fill(0)
    return (isMla ? [kinds[0]] : kinds).flatMap((kind) =>
      Array.from(
        { length: numLayers },
        (_, layer) =>
          tokens.flatMap((token) =>
            token === undefined ? nothing : half(sizes, token, layer, kind)
          ),
      ).flat()
    )
  })
  near("blocks", run(Collection.blocks(collection)), whole, 0)
  for (const kind of isMla ? [kinds[0]] : kinds) {
    const layer = numLayers - 1
    const view = viewOf(collection, layer, kind)
    assert.deepEqual(view.blocksShape, [numBlocks, maxSeqLen, numHeads, headSize])
    for (const [bs, page] of collection.lookupTable.entries()) {
      const want = blocks[page]!.flatMap((token) => half(sizes, token, layer, kind))
      near("sequence", run(View.sequence(view, bs)), want, 0)
      const tok = blocks[page]!.length - 1
      if (tok < 0) continue
      const place = { bs, head: numHeads - 1, tok, dim: headSize - 1 }
      near("load", run(View.load(view, 1, place)), want.slice(-1), 0)
    }
  }
}

export const plain: Sizes = {
  numBlocks: 3,
  numLayers: 2,
  maxSeqLen: 8,
  numHeads: 2,
  headSize: 4,
  valueDim: 4,
  isMla: false,
  dtype: "f32",
}

/** Tokens of neighbouring numbers. */
export const tokens = (sizes: Sizes, from: number, count: number): ReadonlyArray<Token> =>
  Array.from({ length: count }, (_, i) => tokenOf(sizes, from + i))
