/**
 * Partial attention of one row, as a commutative monoid: attention over any partition of the keys merges to
 * attention over all of them. Split contexts, shared prefixes and sharded sequences are all this `merge`.
 *
 * @module
 */
import { type Effect, Reducer, Result } from "effect"
import { LSE_EMPTY } from "../../kernels/constants.ts"
import { mergeStates } from "../../kernels/merge_states.ts"
import type { ShapeMismatch } from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import * as Shape from "../tensor/Shape.ts"
import type { Tensor } from "../tensor/value.ts"

/** What a row has seen so far. */
export interface AttentionState {
  /** Natural-log sum of exponentials of the scaled, capped scores; −∞ (or the device's finite stand-in) when nothing was seen. */
  readonly lse: number
  /** Weighted mean of the values, `[valueDim]`; ignored when nothing was seen. */
  readonly out: ReadonlyArray<number>
}

/** Nothing seen: the identity of `merge`. */
export const empty: AttentionState = { lse: -Infinity, out: [] }

const isEmpty = ({ lse }: AttentionState): boolean => lse <= LSE_EMPTY

/** Both seen. Associative and commutative up to rounding; `empty` is neutral exactly. */
export const merge = (a: AttentionState, b: AttentionState): AttentionState => {
  if (isEmpty(b)) return a
  if (isEmpty(a)) return b
  const max = Math.max(a.lse, b.lse)
  const [wa, wb] = [Math.exp(a.lse - max), Math.exp(b.lse - max)]
  const sum = wa + wb
  return {
    lse: max + Math.log(sum),
    out: a.out.map((x, i) => (x * wa + b.out[i]! * wb) / sum),
  }
}

/**
 * The monoid.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { AttentionState } from "@kvasir/kvasir"
 * const both = AttentionState.reducer.combineAll([
 *   { lse: 0, out: [1] },
 *   { lse: 0, out: [3] },
 * ])
 * assert.deepEqual(both.out, [2])
 * ```
 */
export const reducer: Reducer.Reducer<AttentionState> = Reducer.make(merge, empty)

/** States of many rows on the device. */
export interface States {
  readonly out: Tensor<"f32", "tokens numQHeads valueDim">
  /** Natural log; the lowest f32 where nothing was seen. */
  readonly lse: Tensor<"f32", "tokens numQHeads">
}

/** Records the merge: the plain function under `mergeAll`. */
export const mergeTo = (
  rec: Recording.Open,
  outs: Tensor<"f32", "parts tokens numQHeads valueDim">,
  lses: Tensor<"f32", "parts tokens numQHeads">,
): Result.Result<States, ShapeMismatch> => {
  const [parts = 0, tokens = 0, heads = 0, dim = 0] = outs.shape
  const rows = tokens * heads
  const bad = Shape.sizesError("outs", outs.shape, {
    parts,
    tokens,
    numQHeads: heads,
    valueDim: dim,
  }) ?? Shape.sizesError("lses", lses.shape, { parts, tokens, numQHeads: heads })
  if (bad !== undefined) return Result.fail(bad)
  return Recording.launchTo(rec, mergeStates, {
    reads: {
      outs: { ...outs, axes: "parts rows dim", shape: [parts, rows, dim] },
      lses: { ...lses, axes: "parts rows", shape: [parts, rows] },
    },
    writes: {
      out: { axes: "tokens numQHeads valueDim", shape: [tokens, heads, dim] },
      lse: { axes: "tokens numQHeads", shape: [tokens, heads] },
    },
    params: {},
    overrides: { WG: 64 },
  })
}

/**
 * The same merge on the device, over parts along the first axis. One launch; bytes moved: the parts once.
 */
export const mergeAll = (
  outs: Tensor<"f32", "parts tokens numQHeads valueDim">,
  lses: Tensor<"f32", "parts tokens numQHeads">,
): Effect.Effect<States, ShapeMismatch, Recording.Recording> =>
  Recording.op((rec) => mergeTo(rec, outs, lses))
