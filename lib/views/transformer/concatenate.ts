/** One call of a layer's cache: writes a chunk, and says what its queries see. @module */
import { Effect, Result } from "effect"
import type { Mask } from "../../attention/Mask.ts"
import type { Needs } from "../../cache/Flight.ts"
import { type Given, givenAs } from "../../cache/Layout.ts"
import type { RealizeError } from "../../cache/Realize.ts"
import type { WriteError } from "../../cache/write.ts"
import { DTypeMismatch, InvalidArgument, ShapeMismatch } from "../../errors.ts"
import { castTo } from "../../tensor/cast.ts"
import * as Recording from "../../tensor/Recording.ts"
import type { Tensor } from "../../tensor/value.ts"
import { append, type Chunk, chunkError } from "./append.ts"
import type { Queries } from "./attend.ts"
import type { AttnMaskDetail } from "./AttnMaskDetail.ts"
import * as Axis from "./Axis.ts"
import { shapeOf } from "./check.ts"
import { materialize, type Materialized } from "./materialize.ts"
import { type Partitioning, resolve } from "./partition.ts"
import type { Quantizer } from "./Quantizer.ts"
import { error as modeError, MODE_PREFILL, type RuntimeMode } from "./RuntimeMode.ts"
import { maskFor, type Visible, visible } from "./see.ts"
import type { TransformerMetadata } from "./TransformerMetadata.ts"
import type { TransformerCacheView } from "./value.ts"

/** What `concatenateToCache` takes. */
export interface Concatenation extends Chunk {
  /** `[batch, tokens, numQHeads, keyDim]`: checked against the keys, if given. */
  readonly query?: Queries
  /** Picks the rules of `partitioning`. Default `MODE_PREFILL`. */
  readonly mode?: RuntimeMode
  readonly cacheMetadata?: TransformerMetadata
  /** Hides more than the layer and the rows' `starts` do. */
  readonly mask?: Mask
  /** The view's own: how it stores is decided once. */
  readonly quantizer?: Quantizer
  /** Sizes must divide by it. */
  readonly partitioning?: Partitioning
}

/** What it answers; none of it shares memory with the view it began with, which stays as it was. */
export interface Concatenated extends Materialized {
  /** What attention of these queries is told. */
  readonly mask: Mask
  /** The same as positions, unless the metadata's `createAttentionBias` is false. */
  readonly visible: Visible | undefined
  readonly view: TransformerCacheView
  readonly maskingDetails: AttnMaskDetail | undefined
}

/** What it may fail with; nothing has changed then. */
export type ConcatenateError = WriteError | RealizeError

/** Rows as the arena is given them: f32 is rounded to nearest, anything else must be right already. */
const stored = <A extends string>(
  rec: Recording.Open,
  tensor: string,
  x: Tensor<Given, A>,
  expected: Given,
): Result.Result<Tensor<Given, A>, ShapeMismatch | DTypeMismatch> => {
  if (x.dtype === expected) return Result.succeed(x)
  if (x.dtype !== "f32") {
    return Result.fail(new DTypeMismatch({ tensor, expected, actual: x.dtype }))
  }
  return castTo(rec, x as Tensor<"f32", A>, expected)
}

/** A chunk as the arena is given it; f32 is rounded to nearest. Internal. */
export const rounded = (
  rec: Recording.Open,
  { arena }: TransformerCacheView,
  { key, value }: Chunk,
): Result.Result<Chunk, ShapeMismatch | DTypeMismatch> => {
  const given = givenAs(arena.layout)
  return Result.flatMap(
    stored(rec, "key", key, given),
    (key) => Result.map(stored(rec, "value", value, given), (value) => ({ key, value })),
  )
}

/** Whether the arrays of a view divide in a mode. Internal. */
export const divisible = (
  { rows, maximumSequenceLength, metadata }: Pick<
    TransformerCacheView,
    "rows" | "maximumSequenceLength" | "metadata"
  >,
  mode: RuntimeMode,
  partitioning: Partitioning,
): InvalidArgument | undefined => {
  const axes = [Axis.BATCH, Axis.KV_LENGTH, Axis.KV_HEAD, Axis.KV_HEAD_DIM]
  const { keyHeads, valueHeads, keyDim, valueDim } = metadata
  for (const [heads, dim] of [[keyHeads, keyDim], [valueHeads, valueDim]] as const) {
    const shape = [rows.length, maximumSequenceLength, heads, dim]
    const divided = resolve(partitioning, { axes, shape, mode })
    if (Result.isFailure(divided)) return divided.failure
  }
}

const callError = (
  self: TransformerCacheView,
  { query, mode = MODE_PREFILL, quantizer, partitioning, ...chunk }: Concatenation,
): InvalidArgument | ShapeMismatch | undefined => {
  const { keyDim, keyHeads, valueHeads, numHeads } = self.metadata
  const bad = modeError(mode) ?? chunkError(self, chunk)
  if (bad !== undefined) return bad
  if (query !== undefined) {
    const sizes = { batch: self.rows.length, tokens: chunk.key.shape[1], numQHeads: numHeads }
    const wrong = shapeOf("query", query, { ...sizes, headDim: keyDim })
    if (wrong !== undefined) return wrong
    const actual = query.shape[2]!
    for (const heads of [keyHeads, valueHeads]) {
      if (actual % heads === 0) continue
      const expected = Math.ceil(actual / heads) * heads
      return new ShapeMismatch({
        tensor: "query",
        axis: "numQHeads (a multiple)",
        expected,
        actual,
      })
    }
  }
  if (quantizer !== undefined && quantizer.name !== self.quantizer.name) {
    const need = `"${self.quantizer.name}", which the view was made with`
    return new InvalidArgument({ name: "quantizer", value: quantizer.name, need })
  }
  return partitioning === undefined ? undefined : divisible(self, mode, partitioning)
}

/**
 * Writes a chunk after what each row holds and answers the new view, its keys and values, and what the chunk's queries
 * see: the keys kept before it and itself. `self` stays as it is, and on any error so does everything.
 *
 * - `key` `[batch, tokens, keyHeads, keyDim]`, `value` `[batch, tokens, valueHeads, valueDim]`: as the arena stores
 *   them, or f32, which is rounded to nearest when written
 * - one launch for each half, and what `materialize` costs for the dense copies; `append` and `attend` do without
 */
export const concatenateToCache = (
  self: TransformerCacheView,
  call: Concatenation,
): Effect.Effect<Concatenated, ConcatenateError, Needs> =>
  Effect.gen(function* () {
    const bad = callError(self, call)
    if (bad !== undefined) return yield* Effect.fail(bad)
    const { cacheMetadata = {}, mask: given } = call
    const tokens = call.key.shape[1]!
    const chunk = yield* Recording.op((rec) => rounded(rec, self, call))
    const view = yield* Effect.fromResult(append(self, chunk, cacheMetadata))
    const mask = yield* Effect.fromResult(maskFor(view, tokens, given, cacheMetadata))
    const seen = self.metadata.createAttentionBias
      ? yield* Effect.fromResult(visible(view, tokens, mask))
      : undefined
    const dense = yield* materialize(view)
    return { ...dense, mask, visible: seen, view, maskingDetails: view.maskingDetails }
  })
