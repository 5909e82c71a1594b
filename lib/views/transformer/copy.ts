/** Rows of one arena as rows of another: a copy, by way of dense f32. @module */
import { Effect, Result } from "effect"
import type { Arena } from "../../cache/Arena.ts"
import { during, type Needs } from "../../cache/Flight.ts"
import { type Gathered, gatherTo, type Piece } from "../../cache/gather.ts"
import type { Given, Layout } from "../../cache/Layout.ts"
import { type RealizeError, realizeIn } from "../../cache/Realize.ts"
import { storedTo } from "../../cache/stored.ts"
import { empty, type KvCache } from "../../cache/value.ts"
import { dropBefore, type WriteError, writeRuns } from "../../cache/write.ts"
import type { InvalidArgument, ShapeMismatch } from "../../errors.ts"
import * as Recording from "../../tensor/Recording.ts"
import type { Tensor } from "../../tensor/value.ts"

/** First position a row still holds, and the number of its tokens. */
export interface Span {
  readonly from: number
  readonly length: number
}

/** Rows one after another, zeros where they hold nothing any more; or without those places. */
export const gatherRows = (
  arena: Arena,
  rows: ReadonlyArray<KvCache>,
  holes: "zeros" | "left out" = "zeros",
): Effect.Effect<Gathered, RealizeError, Needs> =>
  during("copy a transformer cache", rows, (flight) =>
    Effect.andThen(
      realizeIn(flight, "copy a transformer cache"),
      Effect.suspend(() => {
        let at = 0
        const pieces = rows.map((cache): Piece => {
          const from = cache.starts[0]!
          const skipped = holes === "zeros" ? from : 0
          const piece = { cache, from, to: cache.length, row: at + skipped }
          at += skipped + cache.length - from
          return piece
        })
        return Effect.fromResult(gatherTo(flight.transaction, arena, at, pieces))
      }),
    ))

/** Dense rows of f32 as an arena takes them. */
export const castRows = (
  { keys, values }: Gathered,
  layout: Layout,
): Effect.Effect<
  {
    readonly keys: Tensor<Given, "layers tokens keyHeads keyDim">
    readonly values: Tensor<Given, "layers tokens valueHeads valueDim">
  },
  ShapeMismatch,
  Recording.Recording
> =>
  Recording.op((rec) =>
    Result.all({ keys: storedTo(rec, layout, keys), values: storedTo(rec, layout, values) })
  )

/** New rows of an arena: these dense ones, zeros included, seen from where each span begins. Pure. */
export const rowsOver = (
  arena: Arena,
  rows: {
    readonly keys: Tensor<Given, "layers tokens keyHeads keyDim">
    readonly values: Tensor<Given, "layers tokens valueHeads valueDim">
  },
  spans: ReadonlyArray<Span>,
): Result.Result<ReadonlyArray<KvCache>, WriteError | InvalidArgument> => {
  let from = 0
  return Result.all(spans.map(({ from: kept, length }) => {
    const run = { at: 0, from, count: length }
    from += length
    return Result.flatMap(
      writeRuns(empty(arena), rows, [run]),
      (row) => dropBefore(row, kept, 0),
    )
  }))
}

/** Where rows begin and end. */
const spansOf = (rows: ReadonlyArray<KvCache>): ReadonlyArray<Span> =>
  rows.map(({ starts, length }) => ({ from: starts[0]!, length }))

/** Rows of `from` as rows of `to`, not placed yet; the lease that holds `rows` is around it. */
export const copyRows = <E>(
  rows: ReadonlyArray<KvCache>,
  from: Arena,
  to: Arena,
  pick: (dense: Gathered) => Effect.Effect<Gathered, E, Recording.Recording>,
): Effect.Effect<ReadonlyArray<KvCache>, E | RealizeError | WriteError, Needs> =>
  Effect.gen(function* () {
    const dense = yield* pick(yield* gatherRows(from, rows))
    const stored = yield* castRows(dense, to.layout)
    return yield* Effect.fromResult(rowsOver(to, stored, spansOf(rows)))
  })
