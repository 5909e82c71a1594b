/** Rows of a view as sequences of their own, and back. @module */
import { Effect, Result } from "effect"
import type { Needs } from "../../cache/Flight.ts"
import type { KvCache } from "../../cache/value.ts"
import {
  CapacityExceeded,
  InvalidArgument,
  type LayoutMismatch,
  ShapeMismatch,
  type UnknownSequence,
} from "../../errors.ts"
import * as Interchange from "../interchange.ts"
import { slotError } from "./check.ts"
import { init, type ViewOptions } from "./init.ts"
import { type TransformerCacheView, view } from "./value.ts"

const lengthError = (capacity: number, { length }: KvCache): CapacityExceeded | undefined =>
  length > capacity ? new CapacityExceeded({ needed: length, capacity }) : undefined

/** A row of the batch: a sequence already, with nothing shared or copied to say. */
export const row = (
  { rows }: TransformerCacheView,
  slot: number,
): Result.Result<KvCache, UnknownSequence> => {
  const bad = slotError(slot, 1, rows.length)
  return bad === undefined ? Result.succeed(rows[slot]!) : Result.fail(bad)
}

/**
 * The view whose row `slot` holds a cache's tokens, none of them padding, in place of its own. A cache of the view's
 * arena is the row itself; of another it is copied, under a lease of that one. A row that has let go of tokens is not
 * copied so: `TransformerCache.insert` does. `self` stays as it is. O(batch), or O(tokens) where it copies.
 */
export const withRow = (
  self: TransformerCacheView,
  slot: number,
  cache: KvCache,
  options: Interchange.Options = {},
): Effect.Effect<
  Interchange.Converted<TransformerCacheView>,
  Interchange.ConvertError | UnknownSequence,
  Needs
> => {
  const { arena, rows, starts, maximumSequenceLength } = self
  const bad = slotError(slot, 1, rows.length) ?? lengthError(maximumSequenceLength, cache)
  if (bad !== undefined) return Effect.fail(bad)
  return Effect.map(Interchange.toArena(cache, arena, options), ({ value, copied }) => ({
    value: view({ ...self, rows: rows.with(slot, value), starts: starts.with(slot, 0) }),
    copied,
  }))
}

/**
 * A view of these caches, which lie in one arena: shared, nothing is copied. The arena has one layer, as for `init`.
 * Touches no device. O(batch).
 */
export const fromRows = (
  rows: ReadonlyArray<KvCache>,
  options: ViewOptions,
): Result.Result<
  TransformerCacheView,
  InvalidArgument | LayoutMismatch | ShapeMismatch | CapacityExceeded
> =>
  Result.gen(function* () {
    const [expected, actual] = [options.metadata.batchSize, rows.length]
    if (expected !== actual) {
      return yield* Result.fail(
        new ShapeMismatch({ tensor: "rows", axis: "batch", expected, actual }),
      )
    }
    const { arena } = rows[0]!
    const empty = yield* init(arena, options)
    for (const [i, one] of rows.entries()) {
      const bad = one.arena === arena
        ? lengthError(empty.maximumSequenceLength, one)
        : new InvalidArgument({
          name: `the arena of rows[${i}]`,
          value: "another",
          need: "that of rows[0]: withRow copies from another",
        })
      if (bad !== undefined) return yield* Result.fail(bad)
    }
    return view({ ...empty, rows })
  })
