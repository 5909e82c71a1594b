/** A collection from a dense buffer, and as one. @module */
import { Effect, Result } from "effect"
import type * as Arena from "../../cache/Arena.ts"
import type { Needs } from "../../cache/Flight.ts"
import type * as Layout from "../../cache/Layout.ts"
import * as Pages from "../../cache/Pages.ts"
import type { RealizeError } from "../../cache/Realize.ts"
import { storedTo } from "../../cache/stored.ts"
import type { AnyRows } from "../../cache/value.ts"
import type { WriteError } from "../../cache/write.ts"
import type { InvalidArgument, ShapeMismatch } from "../../errors.ts"
import * as Recording from "../../tensor/Recording.ts"
import * as Shape from "../../tensor/Shape.ts"
import * as Tensor from "../../tensor/Tensor.ts"
import {
  type BatchError,
  type BatchOptions,
  type ContinuousBatchingKvCacheCollection,
  of,
} from "./value.ts"

type Blocks = Tensor.Tensor<
  Layout.Given,
  "numBlocks kvDim numLayers maxSeqLen numHeads headSize"
>

const blocksError = (
  { layers, keyHeads, keyDim, blockSize, placement }: Layout.Layout,
  { axes, shape }: Blocks,
): ShapeMismatch | undefined => {
  const [numBlocks = 0] = shape
  const needs = {
    numBlocks,
    kvDim: placement === "latent" ? 1 : 2,
    numLayers: layers,
    maxSeqLen: blockSize,
    numHeads: keyHeads,
    headSize: keyDim,
  }
  const bound = Shape.bind({ layout: Shape.of(axes, needs), blocks: { axes, shape } })
  return Result.isFailure(bound) ? bound.failure : undefined
}

/** A buffer's rows as an arena takes them: the tokens of all blocks one after another. */
const rowsOf = (
  rec: Recording.Open,
  { layers, keyHeads, keyDim, blockSize, ...layout }: Layout.Layout,
  blocks: Blocks,
): Result.Result<AnyRows, ShapeMismatch | InvalidArgument> =>
  Result.gen(function* () {
    const [numBlocks = 0, kvDim = 0] = blocks.shape
    const planes = kvDim * layers
    const wide = yield* Tensor.castTo(rec, blocks, "f32")
    const flat: Tensor.Tensor<"f32", "blocks planes rows"> = {
      ...wide,
      axes: "blocks planes rows",
      shape: [numBlocks, planes, blockSize * keyHeads * keyDim],
    }
    const byPlane = yield* Tensor.permuteTo(rec, flat, "planes blocks rows")
    const half = <const A extends string>(from: number, axes: A) =>
      Result.flatMap(
        Tensor.sliceTo(rec, byPlane, "planes", from, from + layers),
        ({ slot }): Result.Result<Tensor.Tensor<Layout.Given, A>, ShapeMismatch> => {
          const shape = [layers, numBlocks * blockSize, keyHeads, keyDim]
          const rows: Tensor.Tensor<"f32", A> = { dtype: "f32", axes, shape, slot }
          return storedTo(rec, { layers, keyHeads, keyDim, blockSize, ...layout }, rows)
        },
      )
    const keys = yield* half(0, "layers tokens keyHeads keyDim")
    if (kvDim === 1) return { latent: keys }
    return { keys, values: yield* half(layers, "layers tokens valueHeads valueDim") }
  })

/**
 * A collection whose blocks hold what a dense buffer holds, by copy; every token counts as written. Touches no
 * ledger: the blocks are placed by the first effect that reads them.
 */
export const fromTensor = (
  arena: Arena.Arena,
  blocks: Blocks,
  options: BatchOptions,
): Effect.Effect<
  ContinuousBatchingKvCacheCollection,
  BatchError | WriteError,
  Recording.Recording
> =>
  Recording.op((rec) =>
    Result.gen(function* () {
      const bad = blocksError(arena.layout, blocks)
      if (bad !== undefined) return yield* Result.fail(bad)
      const [numBlocks = 0] = blocks.shape
      const { blockSize } = arena.layout
      const runs = Array.from({ length: numBlocks }, (_, page): Pages.Run => {
        const from = page * blockSize
        return { page, offset: 0, from, count: blockSize }
      })
      const rows = yield* rowsOf(rec, arena.layout, blocks)
      const pages = yield* Pages.write(yield* Pages.make(arena, numBlocks), rows, runs)
      return yield* of(pages, options)
    })
  )

/**
 * `[numBlocks, 2, numLayers, maxSeqLen, numHeads, headSize]` (1 for the 2 with latent attention): a copy of the
 * buffer by the caller's numbers of blocks, widened to f32, with zeros where nobody wrote.
 */
export const blocks = (
  { pages, numBlocks, numLayers, maxSeqLen, kvParams }: ContinuousBatchingKvCacheCollection,
): Effect.Effect<
  Tensor.Tensor<"f32", "numBlocks kvDim numLayers maxSeqLen numHeads headSize">,
  RealizeError | InvalidArgument,
  Needs
> =>
  Effect.flatMap(
    Pages.gatherAll(pages),
    ({ keys, values }) =>
      Recording.op((rec) =>
        Result.gen(function* () {
          const { numHeads, headSize, isMla } = kvParams
          const rows = maxSeqLen * numHeads * headSize
          const byBlock = ({ slot }: Tensor.Tensor<"f32", string>) => {
            const axes = "planes blocks rows"
            const shape = [numLayers, numBlocks, rows]
            const flat: Tensor.Tensor<"f32", typeof axes> = { dtype: "f32", axes, shape, slot }
            return Tensor.permuteTo(rec, flat, "blocks planes rows")
          }
          const first = yield* byBlock(keys)
          const all = isMla
            ? first
            : yield* Tensor.concatTo(rec, first, yield* byBlock(values), "planes")
          return {
            ...all,
            axes: "numBlocks kvDim numLayers maxSeqLen numHeads headSize" as const,
            shape: [numBlocks, isMla ? 1 : 2, numLayers, maxSeqLen, numHeads, headSize],
          }
        })
      ),
  )
