/** Keys and values of a paged cache: written, and read back. @module */
import { Effect, Result } from "effect"
import type { Needs } from "../../cache/Flight.ts"
import type { Gathered } from "../../cache/gather.ts"
import * as Pages from "../../cache/Pages.ts"
import type { RealizeError } from "../../cache/Realize.ts"
import type { Rows } from "../../cache/value.ts"
import type { WriteError } from "../../cache/write.ts"
import {
  BlockTableFull,
  CapacityExceeded,
  DTypeMismatch,
  type ShapeMismatch,
  type UnknownSequence,
} from "../../errors.ts"
import * as Shape from "../../tensor/Shape.ts"
import type { Tensor } from "../../tensor/value.ts"
import { blocksOf, type PagedKvCache, sequenceError, update } from "./value.ts"

/** What rows are given in. */
type Given = Rows["keys"]["dtype"]

/** Keys or values of new tokens. */
export type NewRows = Tensor<Given, "tokens numKvHeads headDim">

/** How rows are stored. */
export interface AppendOptions {
  /** Floats may be rounded to the integers of an int8 pool. Default: they are refused. */
  readonly quantize?: boolean
}

/** What `appendKv` may fail with. */
export type AppendError = UnknownSequence | BlockTableFull | WriteError

const rowsError = (
  { numKvHeads, headDim, pages: { arena: { layout } } }: PagedKvCache,
  given: Readonly<Record<string, NewRows>>,
  tokens: number,
  quantize: boolean,
): ShapeMismatch | DTypeMismatch | undefined => {
  const stored: string = layout.dtype
  for (const [tensor, { dtype: actual, shape }] of Object.entries(given)) {
    const bad = Shape.sizesError(tensor, shape, { tokens, numKvHeads, headDim })
    if (bad !== undefined) return bad
    if (stored === "int8") {
      const remedy = "{ quantize: true } rounds it"
      if (!quantize) return new DTypeMismatch({ tensor, expected: stored, actual, remedy })
      if (actual !== "f32") return new DTypeMismatch({ tensor, expected: "f32", actual })
    } else if (actual !== stored) {
      return new DTypeMismatch({ tensor, expected: stored, actual })
    }
  }
}

/**
 * The cache with these tokens after those of one sequence: `keysNew` and `valuesNew` are
 * `[tokens, numKvHeads, headDim]`, stored as the pool is. Pure: the tensors are read when the cache is realised,
 * by one launch each, whatever number of blocks they span; older values stay as they are.
 *
 * - fails with `UnknownSequence`, `ShapeMismatch`, `DTypeMismatch`, `BlockTableFull` (the row of the table has no
 *   more cells) or `CapacityExceeded` (blocks were not allocated)
 * - O(blocks touched) and O(batchSize) numbers on the host
 *
 * Source: attnax, `append_kv`.
 */
export const appendKv = (
  cache: PagedKvCache,
  sequence: number,
  keysNew: NewRows,
  valuesNew: NewRows,
  { quantize = false }: AppendOptions = {},
): Result.Result<PagedKvCache, AppendError> =>
  Result.gen(function* () {
    const tokens = keysNew.shape[0] ?? 0
    const bad = sequenceError(cache, sequence) ??
      rowsError(cache, { keysNew, valuesNew }, tokens, quantize)
    if (bad !== undefined) return yield* Result.fail(bad)
    const { blockSize, blockTable, maxBlocksPerSeq, numKvHeads, headDim, seqLengths } = cache
    const length = seqLengths[sequence]!
    const end = length + tokens
    const needed = Math.ceil(end / blockSize)
    const blocks = blocksOf(blockTable[sequence]!)
    if (needed > maxBlocksPerSeq) {
      return yield* Result.fail(
        new BlockTableFull({ sequence, needed, maxBlocks: maxBlocksPerSeq }),
      )
    }
    if (needed > blocks.length) {
      const capacity = blocks.length * blockSize
      const remedy = `call allocateBlocks for sequence ${sequence} before`
      return yield* Result.fail(new CapacityExceeded({ needed: end, capacity, remedy }))
    }
    const runs: Array<Pages.Run> = []
    for (let at = length; at < end;) {
      const offset = at % blockSize
      const count = Math.min(blockSize - offset, end - at)
      runs.push({ page: blocks[Math.floor(at / blockSize)]!, offset, from: at - length, count })
      at += count
    }
    const shape = [1, tokens, numKvHeads, headDim]
    const rows: Rows = {
      keys: { ...keysNew, axes: "layers tokens keyHeads keyDim", shape },
      values: { ...valuesNew, axes: "layers tokens valueHeads valueDim", shape },
    }
    const pages = yield* Pages.write(cache.pages, rows, runs)
    return update(cache, { pages, seqLengths: seqLengths.with(sequence, end) })
  })

/** Places and writes what these caches still owe, all or nothing, and makes the lease hold them. */
export const realize = (
  ...caches: ReadonlyArray<PagedKvCache>
): Effect.Effect<void, RealizeError, Needs> => Pages.realize(...caches.map(({ pages }) => pages))

/** The tokens of one sequence. */
export interface GatheredKv {
  /** Widened to f32, which is exact for every storage. */
  readonly keys: Tensor<"f32", "tokens numKvHeads headDim">
  readonly values: Tensor<"f32", "tokens numKvHeads headDim">
  /** Tokens. */
  readonly length: number
}

const named = <const A extends string>(
  { keys, values }: Gathered,
  axes: A,
  shape: ReadonlyArray<number>,
): Readonly<Record<"keys" | "values", Tensor<"f32", A>>> => ({
  keys: { ...keys, axes, shape },
  values: { ...values, axes, shape },
})

/**
 * Brings the keys and values of one sequence together, `[tokens, numKvHeads, headDim]`; no rows of an empty one.
 * Realises its pages first. Two launches; O(tokens).
 *
 * Source: attnax, `gather_kv`.
 */
export const gatherKv = (
  cache: PagedKvCache,
  sequence: number,
): Effect.Effect<GatheredKv, UnknownSequence | RealizeError, Needs> => {
  const bad = sequenceError(cache, sequence)
  if (bad !== undefined) return Effect.fail(bad)
  const { pages, blockTable, numKvHeads, headDim } = cache
  const length = cache.seqLengths[sequence]!
  return Effect.map(Pages.gather(pages, blockTable[sequence]!, length), (gathered) => ({
    ...named(gathered, "tokens numKvHeads headDim", [length, numKvHeads, headDim]),
    length,
  }))
}

/** A whole pool of keys or of values, widened to f32. */
export type Pool = Tensor<"f32", "numBlocks blockSize numKvHeads headDim">

/** Both pools, zeros where nothing was written. Realises all pages first. O(the pool's size). */
export const pools = (
  cache: PagedKvCache,
): Effect.Effect<{ readonly keys: Pool; readonly values: Pool }, RealizeError, Needs> => {
  const { numBlocks, blockSize, numKvHeads, headDim } = cache
  const shape = [numBlocks, blockSize, numKvHeads, headDim]
  return Effect.map(
    Pages.gatherAll(cache.pages),
    (gathered) => named(gathered, "numBlocks blockSize numKvHeads headDim", shape),
  )
}

/** `pools`, the keys: `[numBlocks, blockSize, numKvHeads, headDim]`. */
export const keyPool = (cache: PagedKvCache): Effect.Effect<Pool, RealizeError, Needs> =>
  Effect.map(pools(cache), ({ keys }) => keys)

/** `pools`, the values: `[numBlocks, blockSize, numKvHeads, headDim]`. */
export const valuePool = (cache: PagedKvCache): Effect.Effect<Pool, RealizeError, Needs> =>
  Effect.map(pools(cache), ({ values }) => values)
