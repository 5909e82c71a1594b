/** Rows of a batch, replaced across all layers. Each answers a new cache. @module */
import { Effect, Result } from "effect"
import type { Needs } from "../../cache/Flight.ts"
import * as Lease from "../../cache/Lease.ts"
import type { Owner } from "../../cache/Owner.ts"
import { realize, type RealizeError } from "../../cache/Realize.ts"
import type { KvCache } from "../../cache/value.ts"
import { truncate, type WriteError } from "../../cache/write.ts"
import {
  CapacityExceeded,
  DTypeMismatch,
  InvalidArgument,
  ShapeMismatch,
  type UnknownSequence,
} from "../../errors.ts"
import { largest } from "../../tensor/numbers.ts"
import { slotError, whole } from "./check.ts"
import { copyRows } from "./copy.ts"
import { startsError } from "./init.ts"
import { cacheOf, type TransformerCache, type TransformerCacheView, view } from "./value.ts"

/** What an insert may be told. */
export interface InsertOptions {
  /** Rows stored in another dtype are converted. Default: they are refused. */
  readonly cast?: boolean
  /** A lease that holds `other`: needed where it lies in another arena. */
  readonly lease?: Owner
}

/** What an insert may fail with; nothing has changed then. */
export type InsertError = WriteError | RealizeError | UnknownSequence

type Pair = readonly [self: TransformerCacheView, other: TransformerCacheView]

const missing = (what: string): InvalidArgument =>
  new InvalidArgument({ name: `the view of ${what}`, value: "nothing", need: "there" })

/** Views of all layers. */
const viewsOf = (
  { views }: TransformerCache,
  whose: string,
): Result.Result<ReadonlyArray<TransformerCacheView>, InvalidArgument> =>
  Result.all(
    views.map((one, i) =>
      one === undefined ? Result.fail(missing(`layer ${i}${whose}`)) : Result.succeed(one)
    ),
  )

const pairsOf = (
  self: TransformerCache,
  other: TransformerCache,
): Result.Result<ReadonlyArray<Pair>, InvalidArgument | ShapeMismatch> => {
  const [expected, actual] = [self.views.length, other.views.length]
  if (expected !== actual) {
    return Result.fail(new ShapeMismatch({ tensor: "other", axis: "layers", expected, actual }))
  }
  return Result.map(
    Result.all([viewsOf(self, ""), viewsOf(other, " of other")]),
    ([ours, theirs]) => ours.map((one, i): Pair => [one, theirs[i]!]),
  )
}

const pairError = (
  [self, other]: Pair,
  slot: number,
  { cast = false, lease }: InsertOptions,
):
  | ShapeMismatch
  | DTypeMismatch
  | CapacityExceeded
  | InvalidArgument
  | UnknownSequence
  | undefined => {
  for (const axis of ["keyHeads", "valueHeads", "keyDim", "valueDim"] as const) {
    const [expected, actual] = [self.metadata[axis], other.metadata[axis]]
    if (expected === actual) continue
    return new ShapeMismatch({ tensor: "other", axis, expected, actual })
  }
  const bad = slotError(slot, other.rows.length, self.rows.length)
  if (bad !== undefined) return bad
  const [expected, actual] = [self.arena.layout.dtype, other.arena.layout.dtype]
  if (expected !== actual && !cast) {
    const remedy = "{ cast: true } rounds it"
    return new DTypeMismatch({ tensor: "other", expected, actual, remedy })
  }
  const needed = largest(other.indexs, 0)
  const { maximumSequenceLength: capacity } = self
  if (needed > capacity) return new CapacityExceeded({ needed, capacity })
  if (self.arena === other.arena || lease !== undefined) return undefined
  const need = "given where other lies in another arena: the one that holds it"
  return new InvalidArgument({ name: "lease", value: "nothing", need })
}

const taken = (
  [self, other]: Pair,
  lease: Owner | undefined,
): Effect.Effect<ReadonlyArray<KvCache>, WriteError | RealizeError, Needs> => {
  if (self.arena === other.arena) return Effect.succeed(other.rows)
  return Lease.under(lease!)(copyRows(other.rows, other.arena, self.arena, Effect.succeed))
}

const replaced = <A>(list: ReadonlyArray<A>, at: number, by: ReadonlyArray<A>): ReadonlyArray<A> =>
  list.toSpliced(at, by.length, ...by)

/**
 * The cache with the rows of `other`, a batch of any size, at row `slot` and after it, in every layer: keys, values,
 * lengths and starts. Rows of the same arena are shared, and blocks are copied when one of the two goes on; rows of
 * another arena are copied, O(their tokens × layers). `self` and `other` stay as they are.
 */
export const insert = (
  self: TransformerCache,
  other: TransformerCache,
  slot: number,
  options: InsertOptions = {},
): Effect.Effect<TransformerCache, InsertError, Needs> =>
  Effect.gen(function* () {
    const pairs = yield* Effect.fromResult(pairsOf(self, other))
    for (const pair of pairs) {
      const bad = pairError(pair, slot, options)
      if (bad !== undefined) return yield* Effect.fail(bad)
    }
    const views: Array<TransformerCacheView> = []
    for (const pair of pairs) {
      const [mine, theirs] = pair
      const rows = yield* taken(pair, options.lease)
      yield* realize(rows)
      const starts = replaced(mine.starts, slot, theirs.starts)
      views.push(view({ ...mine, rows: replaced(mine.rows, slot, rows), starts }))
    }
    return cacheOf(views)
  })

const listError = (
  name: string,
  values: ReadonlyArray<number>,
  slot: number,
  { rows }: TransformerCacheView,
): InvalidArgument | UnknownSequence | undefined => {
  const bad = slotError(slot, values.length, rows.length)
  if (bad !== undefined) return bad
  for (const [i, value] of values.entries()) {
    const wrong = whole(`${name}[${i}]`, value, 0)
    if (wrong !== undefined) return wrong
  }
}

/** The cache whose rows from `slot` on have these first positions, in every layer. Touches no device. O(layers · batch). */
export const insertStarts = (
  self: TransformerCache,
  starts: ReadonlyArray<number>,
  slot: number,
): Result.Result<TransformerCache, InvalidArgument | UnknownSequence> =>
  Result.flatMap(viewsOf(self, ""), (views) => {
    for (const one of views) {
      const bad = listError("starts", starts, slot, one) ??
        startsError(starts, one.maximumSequenceLength)
      if (bad !== undefined) return Result.fail(bad)
    }
    return Result.succeed(
      cacheOf(views.map((one) => view({ ...one, starts: replaced(one.starts, slot, starts) }))),
    )
  })

/**
 * The cache whose rows from `slot` on hold their first `index[i]` tokens only, in every layer: a rollback. An index
 * above what a row holds is refused, as nobody wrote what lies there. Touches no device. O(layers · batch).
 */
export const insertIndex = (
  self: TransformerCache,
  index: ReadonlyArray<number>,
  slot: number,
): Result.Result<TransformerCache, InvalidArgument | UnknownSequence | CapacityExceeded> =>
  Result.gen(function* () {
    const next: Array<TransformerCacheView> = []
    for (const one of yield* viewsOf(self, "")) {
      const bad = listError("index", index, slot, one)
      if (bad !== undefined) yield* Result.fail(bad)
      const { maximumSequenceLength: capacity } = one
      const needed = largest(index, 0)
      if (needed > capacity) yield* Result.fail(new CapacityExceeded({ needed, capacity }))
      const rows: Array<KvCache> = []
      for (const [i, length] of index.entries()) {
        const row = one.rows[slot + i]!
        if (length > row.length) {
          const need = `at most ${row.length}, the tokens that were written`
          yield* Result.fail(new InvalidArgument({ name: `index[${i}]`, value: length, need }))
        }
        rows.push(yield* truncate(row, length))
      }
      next.push(view({ ...one, rows: replaced(one.rows, slot, rows) }))
    }
    return cacheOf(next)
  })
