/** The pure write of a chunk: new rows of a view, which touches no device. @module */
import { Result } from "effect"
import type { Given } from "../../cache/Layout.ts"
import type { KvCache } from "../../cache/value.ts"
import { dropBefore, truncate, type WriteError, writeRuns } from "../../cache/write.ts"
import { CapacityExceeded, InvalidArgument, type ShapeMismatch } from "../../errors.ts"
import type { Tensor } from "../../tensor/value.ts"
import { windowOf } from "./AttnMaskDetail.ts"
import { shapeOf } from "./check.ts"
import { error as metadataError, type TransformerMetadata } from "./TransformerMetadata.ts"
import { type TransformerCacheView, view } from "./value.ts"

/** Keys and values of as many new tokens for every row. */
export interface Chunk {
  readonly key: Tensor<Given, "batch tokens keyHeads keyDim">
  readonly value: Tensor<Given, "batch tokens valueHeads valueDim">
}

/** What is wrong with the shapes of a chunk. */
export const chunkError = (
  { rows, metadata }: TransformerCacheView,
  { key, value }: Chunk,
): ShapeMismatch | undefined => {
  const { keyHeads, valueHeads, keyDim, valueDim } = metadata
  const batch = rows.length
  return shapeOf("key", key, { batch, tokens: undefined, keyHeads, keyDim }) ??
    shapeOf("value", value, { batch, tokens: key.shape[1], valueHeads, valueDim })
}

/**
 * Lets go of whole blocks that no query from `position` on will see: rows below them could not be read again by
 * anybody, while the rest of a block costs nothing to keep.
 */
const slide = (
  { arena, maskingDetails }: TransformerCacheView,
  row: KvCache,
  position: number,
): Result.Result<KvCache, InvalidArgument> => {
  const window = windowOf(maskingDetails)
  if (window === undefined) return Result.succeed(row)
  const { blockSize } = arena.layout
  const needed = Math.max(0, position - window + 1)
  return dropBefore(row, needed - needed % blockSize, 0)
}

/** A row from which tokens at `index` and later are gone. */
const rewound = (
  row: KvCache,
  index: number | undefined,
  i: number,
): Result.Result<KvCache, InvalidArgument> => {
  if (index === undefined || index === row.length) return Result.succeed(row)
  const need = `at most ${row.length}, the tokens that were written`
  return index > row.length
    ? Result.fail(new InvalidArgument({ name: `indexs[${i}]`, value: index, need }))
    : truncate(row, index)
}

/**
 * The view with a chunk after what each row holds: `key` `[batch, tokens, keyHeads, keyDim]` and `value`
 * `[batch, tokens, valueHeads, valueDim]`, stored as the arena stores them. Touches no device; `self` stays as it
 * is. O(batch). Realising it takes one launch for each half, whatever the batch.
 */
export const append = (
  self: TransformerCacheView,
  chunk: Chunk,
  metadata: TransformerMetadata = {},
): Result.Result<TransformerCacheView, WriteError> =>
  Result.gen(function* () {
    const tokens = chunk.key.shape[1] ?? 0
    const bad = chunkError(self, chunk) ?? metadataError(metadata, self.rows.length, tokens)
    if (bad !== undefined) return yield* Result.fail(bad)
    const { maximumSequenceLength: capacity } = self
    const flat = [1, self.rows.length * tokens] as const
    const [key, value] = [chunk.key, chunk.value]
    const rows = {
      keys: {
        ...key,
        axes: "layers tokens keyHeads keyDim" as const,
        shape: [...flat, ...key.shape.slice(2)],
      },
      values: {
        ...value,
        axes: "layers tokens valueHeads valueDim" as const,
        shape: [...flat, ...value.shape.slice(2)],
      },
    }
    const next: Array<KvCache> = []
    for (const [i, row] of self.rows.entries()) {
      const base = yield* rewound(row, metadata.indexs?.[i], i)
      const count = metadata.queryLengths?.[i] ?? tokens
      const needed = base.length + count
      if (needed > capacity) yield* Result.fail(new CapacityExceeded({ needed, capacity }))
      const kept = yield* slide(self, base, base.length)
      next.push(yield* writeRuns(kept, rows, [{ at: base.length, from: i * tokens, count }]))
    }
    return view({ ...self, rows: next, starts: metadata.starts ?? self.starts })
  })
