/** Shards as one view again. @module */
import { Effect } from "effect"
import type { Needs } from "../../cache/Flight.ts"
import type { Gathered } from "../../cache/gather.ts"
import * as Lease from "../../cache/Lease.ts"
import { realize, type RealizeError } from "../../cache/Realize.ts"
import type { KvCache } from "../../cache/value.ts"
import type { WriteError } from "../../cache/write.ts"
import { concat } from "../../tensor/arrange.ts"
import { largest, smallest } from "../../tensor/numbers.ts"
import * as Recording from "../../tensor/Recording.ts"
import { castRows, gatherRows, rowsOver, type Span } from "./copy.ts"
import type { Shard, Sharded } from "./sharded.ts"
import { type TransformerCacheView, view } from "./value.ts"

const join = (a: Gathered, b: Gathered, along: "tokens" | "heads" | "dims") =>
  Effect.gen(function* () {
    const keys = along === "dims"
      ? a.keys
      : yield* concat(a.keys, b.keys, along === "heads" ? "keyHeads" : "tokens")
    const axis = { tokens: "tokens", heads: "valueHeads", dims: "valueDim" } as const
    return { keys, values: yield* concat(a.values, b.values, axis[along]) }
  })

const all = (parts: ReadonlyArray<Gathered>, along: "tokens" | "heads" | "dims") =>
  Effect.reduce(parts.slice(1), () => parts[0]!, (sum, next) => join(sum, next, along))

/** Rows of zeros, as many as `like` has heads and dims for. */
const zeros = ({ keys, values }: Gathered, tokens: number): Gathered => {
  const make = <A extends string>({ axes, shape }: { axes: A; shape: ReadonlyArray<number> }) => {
    const sized = [1, tokens, ...shape.slice(2)]
    const size = sized.reduce((product, n) => product * n, 1)
    return Recording.fresh("f32", axes, sized, new Float32Array(size))
  }
  return { keys: make(keys), values: make(values) }
}

/** What one row holds, from where it begins. */
const rowOf = (
  { parts }: Sharded,
  shards: ReadonlyArray<Shard>,
  row: number,
): Effect.Effect<readonly [Gathered, Span] | undefined, RealizeError, Needs> =>
  Effect.gen(function* () {
    const { heads, valueDims } = parts
    const caches = shards.map(({ view: { rows } }) => rows[row]!)
    const held = caches.filter(({ length }) => length > 0)
    if (held.length === 0) return undefined
    const pieces: Array<Gathered> = []
    for (let l = 0; l < parts.positions; l++) {
      const here = shards.slice(l * heads * valueDims, (l + 1) * heads * valueDims)
      if (here[0]!.view.rows[row]!.length === 0) continue
      const found = yield* Effect.forEach(
        here,
        ({ view: { arena, rows }, lease }) =>
          Lease.under(lease)(gatherRows(arena, [rows[row]!], "left out")),
      )
      const byHead = yield* Effect.forEach(
        Array.from({ length: heads }, (_, h) => found.slice(h * valueDims, (h + 1) * valueDims)),
        (some) => all(some, "dims"),
      )
      pieces.push(yield* all(byHead, "heads"))
    }
    const from = smallest(held.map(({ starts }) => starts[0]!), Infinity)
    const length = largest(held.map((cache) => cache.length), 0)
    const first = pieces[0]!
    const whole = yield* all(from === 0 ? pieces : [zeros(first, from), ...pieces], "tokens")
    return [whole, { from, length }] as const
  })

/** Rows of the batch that a few shards hold together. */
const rowsOf = (
  sharded: Sharded,
  shards: ReadonlyArray<Shard>,
): Effect.Effect<ReadonlyArray<KvCache>, RealizeError | WriteError, Needs> =>
  Effect.forEach(shards[0]!.view.rows, (empty, row) =>
    Effect.gen(function* () {
      const found = yield* rowOf(sharded, shards, row)
      if (found === undefined) return sharded.whole.rows[shards[0]!.batch.from + row] ?? empty
      const [dense, span] = found
      const { arena } = sharded.whole
      const stored = yield* castRows(dense, arena.layout)
      const made = yield* Effect.fromResult(rowsOver(arena, stored, [span]))
      yield* realize(made)
      return made[0]!
    }))

/**
 * The view that was divided, from its shards, in its own arena and under its own lease. Where only the batch was
 * divided its rows are shared; else they are copied, O(tokens).
 */
export const unshard = (
  sharded: Sharded,
): Effect.Effect<TransformerCacheView, RealizeError | WriteError, Needs> =>
  Effect.gen(function* () {
    const { whole, parts, shards } = sharded
    const each = parts.positions * parts.heads * parts.valueDims
    const groups = Array.from(
      { length: parts.batch },
      (_, b) => shards.slice(b * each, (b + 1) * each),
    )
    const rows = each === 1
      ? shards.flatMap((one) => one.view.rows)
      : (yield* Effect.forEach(groups, (some) => rowsOf(sharded, some))).flat()
    return view({ ...whole, rows })
  })
