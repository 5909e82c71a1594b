/** Reading a view back as dense tensors. @module */
import { Effect, Result } from "effect"
import { during, type Flight, type Needs } from "../../cache/Flight.ts"
import { gatherTo, type Piece } from "../../cache/gather.ts"
import { type RealizeError, realizeIn } from "../../cache/Realize.ts"
import type { Tensor } from "../../tensor/value.ts"
import { windowOf } from "./AttnMaskDetail.ts"
import { room, type TransformerCacheView } from "./value.ts"

/** Keys and values of all rows, widened to f32 (exact for every storage), zeros where a row holds nothing. */
export interface Materialized {
  /** `[batch, room, keyHeads, keyDim]` */
  readonly keys: Tensor<"f32", "batch tokens keyHeads keyDim">
  /** `[batch, room, valueHeads, valueDim]` */
  readonly values: Tensor<"f32", "batch tokens valueHeads valueDim">
  /** `[batch, room]`: the position that lies in each place, −1 where none does. */
  readonly positions: Int32Array
}

/** The positions of each row that are read, and the place of the first. */
const spans = (self: TransformerCacheView) =>
  self.rows.map((cache) => {
    const kept = cache.starts[0]!
    const window = windowOf(self.maskingDetails)
    const from = Math.max(kept, window === undefined ? 0 : cache.length - window)
    // A window's tokens lie from place 0 on; else a position is its own place.
    return { cache, from, to: cache.length, at: window === undefined ? from : 0 }
  })

const record = (flight: Flight, self: TransformerCacheView) => {
  const { rows, metadata: { keyHeads, valueHeads, keyDim, valueDim } } = self
  const [batch, tokens] = [rows.length, room(self)]
  const found = spans(self)
  const pieces = found.map(({ cache, from, to, at }, i): Piece => (
    { cache, from, to, row: i * tokens + at }
  ))
  const positions = new Int32Array(batch * tokens).fill(-1)
  for (const [i, { from, to, at }] of found.entries()) {
    for (let p = from; p < to; p++) positions[i * tokens + at + p - from] = p
  }
  return Result.map(
    gatherTo(flight.transaction, self.arena, batch * tokens, pieces),
    ({ keys, values }): Materialized => ({
      keys: {
        ...keys,
        axes: "batch tokens keyHeads keyDim",
        shape: [batch, tokens, keyHeads, keyDim],
      },
      values: {
        ...values,
        axes: "batch tokens valueHeads valueDim",
        shape: [batch, tokens, valueHeads, valueDim],
      },
      positions,
    }),
  )
}

/**
 * Keys and values as dense tensors: position p of a row at place p of `maximumSequenceLength`; in a layer that slides
 * the last tokens of its window from place 0 on. Places the rows first. A copy, O(batch · room); attention needs none.
 */
export const materialize = (
  self: TransformerCacheView,
): Effect.Effect<Materialized, RealizeError, Needs> =>
  during("read a transformer cache", self.rows, (flight) =>
    Effect.andThen(
      realizeIn(flight, "read a transformer cache"),
      Effect.suspend(() => Effect.fromResult(record(flight, self))),
    ))

/** The keys of `materialize`. */
export const key = (
  self: TransformerCacheView,
): Effect.Effect<Materialized["keys"], RealizeError, Needs> =>
  Effect.map(materialize(self), ({ keys }) => keys)

/** The values of `materialize`. */
export const value = (
  self: TransformerCacheView,
): Effect.Effect<Materialized["values"], RealizeError, Needs> =>
  Effect.map(materialize(self), ({ values }) => values)
