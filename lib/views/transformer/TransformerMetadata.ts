/**
 * What one call of a cache is told about its rows: where their tokens begin, where they go, and which are padding.
 *
 * @module
 */
import { Result } from "effect"
import { InvalidArgument } from "../../errors.ts"
import type { TransformerCacheMetaData } from "../TransformerCacheMetaData.ts"
import { listOf } from "./check.ts"

/** Numbers by row, each left out where the view knows better. */
export interface TransformerMetadata {
  /** The last tokens of rows are padding: `queryLengths` says how many are not. Default false. */
  readonly postpadded?: boolean | undefined
  /** First position that is no padding, in place of the view's. */
  readonly starts?: ReadonlyArray<number> | undefined
  /** Position of the first new token; a lower one than the row's length lets later tokens go. Default: the length. */
  readonly indexs?: ReadonlyArray<number> | undefined
  /** New tokens of each row that are no padding; the others are not written, see nothing and answer zeros. */
  readonly queryLengths?: ReadonlyArray<number> | undefined
}

/** What is wrong with it for a batch that brings `tokens` new tokens a row. */
export const error = (
  { postpadded = false, starts, indexs, queryLengths }: TransformerMetadata,
  batchSize: number,
  tokens: number,
): InvalidArgument | undefined => {
  const bad = listOf("starts", starts, batchSize) ?? listOf("indexs", indexs, batchSize) ??
    listOf("queryLengths", queryLengths, batchSize)
  if (bad !== undefined) return bad
  if (postpadded !== (queryLengths !== undefined)) {
    return new InvalidArgument({
      name: "postpadded",
      value: String(postpadded),
      need: postpadded ? "given with queryLengths" : "true where queryLengths are given",
    })
  }
  const long = queryLengths?.find((n) => n > tokens)
  const need = `at most ${tokens}, the new tokens of a row`
  return long === undefined
    ? undefined
    : new InvalidArgument({ name: "queryLengths", value: long, need })
}

/**
 * Finds the padding of a batch of token ids `[batch][tokens]` by the metadata's `padTokenId`: before each row's first
 * other token, or with `postpadded` after its last one.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { Result } from "effect"
 * import { TransformerCacheMetaData, TransformerMetadata } from "@kvasir/kvasir"
 * const metadata = Result.getOrThrow(TransformerCacheMetaData.create({
 *   batchSize: 2, sequenceLength: 8, numHiddenLayers: 1, padTokenId: 0, numHeads: 1, headDim: 4,
 * }))
 * const { starts } = Result.getOrThrow(
 *   TransformerMetadata.fromTokens(metadata, [[0, 0, 5], [7, 8, 9]]),
 * )
 * assert.deepEqual(starts, [2, 0])
 * ```
 */
export const fromTokens = (
  { batchSize, padTokenId }: TransformerCacheMetaData,
  tokens: ReadonlyArray<ReadonlyArray<number>>,
  { postpadded = false }: { readonly postpadded?: boolean } = {},
): Result.Result<TransformerMetadata, InvalidArgument> => {
  if (tokens.length !== batchSize) {
    const need = `${batchSize}, the rows of the batch`
    return Result.fail(
      new InvalidArgument({ name: "the number of token rows", value: tokens.length, need }),
    )
  }
  const real = (id: number) => id !== padTokenId
  if (postpadded) {
    const queryLengths = tokens.map((row) => row.findLastIndex(real) + 1)
    return Result.succeed({ postpadded, queryLengths })
  }
  const starts = tokens.map((row) => {
    const first = row.findIndex(real)
    return first < 0 ? row.length : first
  })
  return Result.succeed({ postpadded, starts })
}
