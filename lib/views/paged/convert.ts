/** A sequence of a paged cache as another kind of cache, and back. @module */
import { Effect, Result } from "effect"
import type { Needs } from "../../cache/Flight.ts"
import type { KvCache } from "../../cache/value.ts"
import type { UnknownSequence } from "../../errors.ts"
import * as Interchange from "../interchange.ts"
import { allocateBlocks, type AllocateError, type Allocation, freeSequence } from "./blocks.ts"
import { blocksOf, type PagedKvCache, sequenceError, update } from "./value.ts"

/** A sequence in its blocks, for `Interchange.toCache`. */
export const row = (
  self: PagedKvCache,
  sequence: number,
): Result.Result<Interchange.PagesRow, UnknownSequence> => {
  const bad = sequenceError(self, sequence)
  if (bad !== undefined) return Result.fail(bad)
  const { pages, blockTable, seqLengths } = self
  const [blocks, length] = [blocksOf(blockTable[sequence]!), seqLengths[sequence]!]
  return Result.succeed({ pages, blocks, length })
}

/** How a sequence is put into a paged cache. */
export interface RowOptions extends Interchange.Options, Pick<Allocation, "freeBlockIds"> {}

/**
 * The cache whose sequence holds another's tokens, in place of its own: its blocks are freed, and as many taken as the
 * tokens need. In the cache's own arena these share its memory; into another the rows are copied. Runs under a lease
 * of the cache's arena. Older values stay as they are. O(blocks), or O(tokens) where it copies.
 */
export const withRow = (
  self: PagedKvCache,
  sequence: number,
  cache: KvCache,
  { freeBlockIds, ...options }: RowOptions = {},
): Effect.Effect<
  Interchange.Converted<PagedKvCache>,
  Interchange.ConvertError | AllocateError,
  Needs
> => {
  const { length } = cache
  const room = Result.flatMap(
    freeSequence(self, sequence),
    ({ cache }) =>
      allocateBlocks(cache, {
        sequence,
        numTokens: length,
        ...(freeBlockIds !== undefined && { freeBlockIds }),
      }),
  )
  return Effect.flatMap(Effect.fromResult(room), ({ cache: roomy }) => {
    const { pages, blockTable, seqLengths } = roomy
    const target = { pages, blocks: blocksOf(blockTable[sequence]!) }
    return Effect.map(Interchange.toPages(cache, target, options), ({ value, copied }) => ({
      value: update(roomy, { pages: value, seqLengths: seqLengths.with(sequence, length) }),
      copied,
    }))
  })
}
