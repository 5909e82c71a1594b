/** The twin of the update on plain arrays of the host: it never pages, never clamps, never hurries. @module */
import { Result } from "effect"
import { DTypeMismatch, InvalidArgument, ShapeMismatch } from "../../errors.ts"
import * as Shape from "../../tensor/Shape.ts"
import { runsOf, type SliceIndices } from "./slices.ts"
import { type CombinedRows, optionsError, type UpdateOptions } from "./update.ts"

/** Keys and values on the host, key head h at 2h and value head h at 2h + 1. */
export interface HostRows {
  /** What the numbers are stored in elsewhere: rows of another dtype are refused. Default `"f32"`. */
  readonly dtype?: CombinedRows["dtype"]
  /** `[tokens, 2 · numKvHeads, headDim]` */
  readonly shape: readonly [tokens: number, combinedHeads: number, headDim: number]
  /** Row-major, as numbers. */
  readonly data: ArrayLike<number>
}

/** What `kvCacheUpdateReference` may fail with. */
export type ReferenceError = InvalidArgument | ShapeMismatch | DTypeMismatch

const rowsError = (newKv: HostRows, kvCache: HostRows): ReferenceError | undefined => {
  const { dtype: expected = "f32" } = kvCache
  const { dtype: actual = "f32" } = newKv
  if (actual !== expected) return new DTypeMismatch({ tensor: "newKv", expected, actual })
  const [, combinedHeads = 0, headDim = 0] = kvCache.shape
  if (combinedHeads < 2 || combinedHeads % 2 !== 0) {
    const need = "an even number, at least 2: keys and values of each head"
    return new InvalidArgument({ name: "combinedHeads of kvCache", value: combinedHeads, need })
  }
  if (headDim < 1) {
    return new InvalidArgument({ name: "headDim of kvCache", value: headDim, need: "at least 1" })
  }
  for (const [tensor, { shape, data }] of Object.entries({ newKv, kvCache })) {
    const [tokens] = shape
    const bad = Shape.sizesError(tensor, shape, { tokens, combinedHeads, headDim })
    if (bad !== undefined) return bad
    const expected = shape[0] * shape[1] * shape[2]
    if (data.length === expected) continue
    const axis = "tokens combinedHeads headDim"
    return new ShapeMismatch({ tensor, axis, expected, actual: data.length })
  }
}

/**
 * What `kvCacheUpdate` must give, by the definition: a dense pool `[numPages · pageSize, 2 · numKvHeads, headDim]` with
 * each slice copied in, as a new array. It takes and refuses what `kvCacheUpdate` does over full pages.
 *
 * Source: EasyDeL, `kv_cache_update_jax`.
 */
export const kvCacheUpdateReference = (
  newKv: HostRows,
  sliceIndices: SliceIndices,
  kvCache: HostRows,
  totalUpdateSlices: number,
  options: UpdateOptions = {},
): Result.Result<HostRows & { readonly data: Float32Array }, ReferenceError> =>
  Result.gen(function* () {
    const bad = optionsError(options) ?? rowsError(newKv, kvCache)
    if (bad !== undefined) return yield* Result.fail(bad)
    const { pageSize = 32 } = options
    const [positions, combinedHeads, headDim] = kvCache.shape
    if (positions === 0 || positions % pageSize !== 0) {
      const need = `a multiple of ${pageSize}, the tokens of a page, and not 0`
      return yield* Result.fail(
        new InvalidArgument({ name: "positions of kvCache", value: positions, need }),
      )
    }
    const bounds = { tokens: newKv.shape[0], pageSize, numPages: positions / pageSize }
    const data = Float32Array.from(kvCache.data)
    const width = combinedHeads * headDim
    const runs = yield* runsOf(sliceIndices, totalUpdateSlices, bounds)
    for (const { page, offset, from, count } of runs) {
      const to = (page * pageSize + offset) * width
      for (let i = 0; i < count * width; i++) data[to + i] = newKv.data[from * width + i]!
    }
    return { ...kvCache, data }
  })
