/** Attention over a view, where it lies. @module */
import { Effect, type Result } from "effect"
import { prefill } from "../../attention/Attention.ts"
import type { Mask } from "../../attention/Mask.ts"
import type { AttendError } from "../../attention/options.ts"
import type { Needs } from "../../cache/Flight.ts"
import type { RealizeError } from "../../cache/Realize.ts"
import type { Tensor } from "../../tensor/value.ts"
import { shapeOf } from "./check.ts"
import { maskFor } from "./see.ts"
import type { TransformerMetadata } from "./TransformerMetadata.ts"
import type { TransformerCacheView } from "./value.ts"

/** What a view's attention may be told. */
export interface AttendOptions {
  /** Hides more than the layer and the rows' `starts` do. */
  readonly mask?: Mask
  /** What the chunk was appended with. */
  readonly cacheMetadata?: TransformerMetadata
  /** Multiplies every score. Default `1 / √keyDim`. */
  readonly scale?: number
  /** `cap · tanh(score / cap)`, after the scale. Default: none. */
  readonly softCap?: number
}

/** Outputs of a batch, and their log-sum-exp. */
export interface Attended {
  readonly out: Tensor<"f32", "batch tokens numQHeads valueDim">
  /** Natural log; the lowest f32 where nothing was seen. */
  readonly lse: Tensor<"f32", "batch tokens numQHeads">
}

/** Queries of a batch. */
export type Queries = Tensor<"f32", "batch tokens numQHeads headDim">

/**
 * The last tokens of every row attend to their row: `query` `[batch, tokens, numQHeads, keyDim]`, after a view that
 * holds their keys. Positions below `starts` are not seen; a query that sees nothing gets zeros. One launch, and no
 * copy: it reads the positions seen, where they lie.
 */
export const attend = (
  query: Queries,
  self: TransformerCacheView,
  { mask, cacheMetadata, ...look }: AttendOptions = {},
): Effect.Effect<Attended, AttendError | RealizeError, Needs> =>
  Effect.suspend((): Effect.Effect<Attended, AttendError | RealizeError, Needs> => {
    const [batch, headDim] = [self.rows.length, self.metadata.keyDim]
    const sizes = { batch, tokens: undefined, numQHeads: self.metadata.numHeads, headDim }
    const bad = shapeOf("query", query, sizes)
    if (bad !== undefined) return Effect.fail(bad)
    const [, tokens = 0, heads = 0] = query.shape
    const whole: Result.Result<Mask, AttendError> = maskFor(self, tokens, mask, cacheMetadata)
    return Effect.flatMap(Effect.fromResult(whole), (seen) => {
      const flat = {
        ...query,
        axes: "tokens numQHeads headDim" as const,
        shape: [batch * tokens, heads, headDim],
      }
      const counts = self.rows.map(() => tokens)
      return Effect.map(
        prefill(flat, self.rows, counts, { ...seen, ...look }),
        ({ out, lse }): Attended => ({
          out: {
            ...out,
            axes: "batch tokens numQHeads valueDim",
            shape: [batch, tokens, heads, self.metadata.valueDim],
          },
          lse: { ...lse, axes: "batch tokens numQHeads", shape: [batch, tokens, heads] },
        }),
      )
    })
  })
