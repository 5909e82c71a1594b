/** Attention over shards, merged to attention over the whole. @module */
import { Effect } from "effect"
import { prefill } from "../../attention/Attention.ts"
import { mergeAll, type States } from "../../attention/AttentionState.ts"
import type { Mask } from "../../attention/Mask.ts"
import type { AttendError } from "../../attention/options.ts"
import type { Needs } from "../../cache/Flight.ts"
import * as Lease from "../../cache/Lease.ts"
import type { RealizeError } from "../../cache/Realize.ts"
import type { InvalidArgument, ShapeMismatch } from "../../errors.ts"
import { concat, slice } from "../../tensor/arrange.ts"
import type * as Recording from "../../tensor/Recording.ts"
import type { Tensor } from "../../tensor/value.ts"
import type { Attended, AttendOptions, Queries } from "./attend.ts"
import { shapeOf } from "./check.ts"
import { maskFor } from "./see.ts"
import type { Parts, Shard, Sharded } from "./sharded.ts"

/** Joins parts along an axis, in order. */
const joined = <A extends string>(
  parts: ReadonlyArray<Tensor<"f32", A>>,
  join: (
    a: Tensor<"f32", A>,
    b: Tensor<"f32", A>,
  ) => Effect.Effect<Tensor<"f32", A>, ShapeMismatch, Recording.Recording>,
): Effect.Effect<Tensor<"f32", A>, ShapeMismatch, Recording.Recording> =>
  Effect.reduce(parts.slice(1), () => parts[0]!, (sum, next) => join(sum, next))

/** The queries of a shard's rows and heads, `[tokens, numQHeads, headDim]`. */
const queriesOf = (
  query: Queries,
  { batch, keyHeads }: Shard,
  whole: number,
): Effect.Effect<
  Tensor<"f32", "tokens numQHeads headDim">,
  ShapeMismatch | InvalidArgument,
  Recording.Recording
> =>
  Effect.gen(function* () {
    const group = query.shape[2]! / whole
    const rows = yield* slice(query, "batch", batch.from, batch.to)
    const some = yield* slice(rows, "numQHeads", keyHeads.from * group, keyHeads.to * group)
    const [n = 0, tokens = 0, heads = 0, dim = 0] = some.shape
    return { ...some, axes: "tokens numQHeads headDim", shape: [n * tokens, heads, dim] }
  })

/** The mask of the whole for a shard's rows; positions are said where a shard holds only some of them. */
const maskOf = (
  { whole, parts }: Sharded,
  { batch, positions: held }: Shard,
  tokens: number,
  mask: Mask,
): Mask => {
  const rows = <A>(list: ReadonlyArray<A>) => list.slice(batch.from, batch.to)
  const { segments, starts, positions, ...rest } = mask
  const stand = positions ??
    whole.indexs.map((end) => Array.from({ length: tokens }, (_, t) => end - tokens + t))
  const said = positions !== undefined || parts.positions > 1
  return {
    ...rest,
    ...(segments !== undefined && { segments: rows(segments) }),
    starts: rows(starts ?? whole.starts).map((start) => Math.max(start, held.from)),
    ...(said && { positions: rows(stand) }),
  }
}

const partial = (
  query: Queries,
  sharded: Sharded,
  shard: Shard,
  mask: Mask,
  options: Pick<AttendOptions, "scale" | "softCap">,
): Effect.Effect<States, AttendError | RealizeError, Needs> =>
  Effect.gen(function* () {
    const [, tokens = 0] = query.shape
    const q = yield* queriesOf(query, shard, sharded.whole.metadata.keyHeads)
    const seen = maskOf(sharded, shard, tokens, mask)
    const { rows } = shard.view
    const counts = rows.map(() => tokens)
    return yield* Lease.under(shard.lease)(prefill(q, rows, counts, { ...seen, ...options }))
  })

/** The states of all shards as those of the whole, `[tokens, …]`. */
const merged = (
  { batch, positions, heads, valueDims }: Parts,
  states: ReadonlyArray<States>,
): Effect.Effect<States, ShapeMismatch, Recording.Recording> => {
  const range = (n: number) => Array.from({ length: n }, (_, i) => i)
  const index = (b: number, l: number, h: number, d: number) =>
    ((b * positions + l) * heads + h) * valueDims + d
  const overDims = (b: number, l: number, h: number) =>
    Effect.map(
      joined(
        range(valueDims).map((d) => states[index(b, l, h, d)]!.out),
        (x, y) => concat(x, y, "valueDim"),
      ),
      (out): States => ({ out, lse: states[index(b, l, h, 0)]!.lse }),
    )
  const overPositions = (b: number, h: number) =>
    Effect.gen(function* () {
      const parts = yield* Effect.forEach(range(positions), (l) => overDims(b, l, h))
      if (positions === 1) return parts[0]!
      const outs = yield* joined(
        parts.map(({ out }) => ({
          ...out,
          axes: "parts tokens numQHeads valueDim" as const,
          shape: [1, ...out.shape],
        })),
        (x, y) => concat(x, y, "parts"),
      )
      const lses = yield* joined(
        parts.map(({ lse }) => ({
          ...lse,
          axes: "parts tokens numQHeads" as const,
          shape: [1, ...lse.shape],
        })),
        (x, y) => concat(x, y, "parts"),
      )
      return yield* mergeAll(outs, lses)
    })
  const along = (parts: ReadonlyArray<States>, axis: "tokens" | "numQHeads") =>
    Effect.all({
      out: joined(parts.map(({ out }) => out), (x, y) => concat(x, y, axis)),
      lse: joined(parts.map(({ lse }) => lse), (x, y) => concat(x, y, axis)),
    })
  const overHeads = (b: number) =>
    Effect.flatMap(
      Effect.forEach(range(heads), (h) => overPositions(b, h)),
      (parts) => along(parts, "numQHeads"),
    )
  return Effect.flatMap(
    Effect.forEach(range(batch), overHeads),
    (parts) => along(parts, "tokens"),
  )
}

/**
 * What `attend` answers for the whole, from its shards: batches and heads are joined, positions merge by their
 * log-sum-exp, value elements are joined. One launch a shard, and what merging takes.
 */
export const attendShards = (
  query: Queries,
  sharded: Sharded,
  { mask, cacheMetadata, ...look }: AttendOptions = {},
): Effect.Effect<Attended, AttendError | RealizeError, Needs> =>
  Effect.gen(function* () {
    const { whole, parts, shards } = sharded
    const { keyDim: headDim, valueDim, numHeads } = whole.metadata
    const batch = whole.rows.length
    const sizes = { batch, tokens: undefined, numQHeads: numHeads, headDim }
    const bad = shapeOf("query", query, sizes)
    if (bad !== undefined) return yield* bad
    const [, tokens = 0, heads = 0] = query.shape
    const seen = yield* Effect.fromResult(maskFor(whole, tokens, mask, cacheMetadata))
    const states = yield* Effect.forEach(
      shards,
      (one) => partial(query, sharded, one, seen, look),
    )
    const { out, lse } = yield* merged(parts, states)
    return {
      out: {
        ...out,
        axes: "batch tokens numQHeads valueDim",
        shape: [batch, tokens, heads, valueDim],
      },
      lse: { ...lse, axes: "batch tokens numQHeads", shape: [batch, tokens, heads] },
    }
  })
