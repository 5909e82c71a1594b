/**
 * What is asked of a few sequences: how long they are, how they were filled, what may be seen, how scores are
 * made.
 *
 * @module
 */
import fc from "fast-check"
import { type Attention, type Layout, Window } from "../../mod.ts"
import type { Queries } from "../models/shelf.ts"
import { element } from "../../testing/world/storage.ts"
import { capacity, layout } from "../../testing/world/configs.ts"

/** One sequence of a batch. */
export interface Sequence {
  /** Row numbers, by position. */
  readonly ids: ReadonlyArray<number>
  /** Queries it brings; the last stands at its last position. */
  readonly count: number
  /** Lengths at which the chunks it was filled with end. */
  readonly cuts: ReadonlyArray<number>
}

/** A question. */
export interface Question {
  readonly sequences: ReadonlyArray<Sequence>
  readonly options: Attention.Options & { readonly window: Window.Window }
  /** Query heads of a (key head, value head) pair. */
  readonly share: number
}

const window = fc.oneof(
  fc.constant(Window.all),
  fc.integer({ min: 1, max: capacity + 2 }).map((n) => Window.last(n)),
  fc.nat(capacity).map(Window.excludingSelf),
  fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 7 })).map(([n, sinks]) =>
    Window.last(n, { sinks })
  ),
)

const sequence = fc.record({
  first: fc.nat(1000),
  length: fc.nat(capacity),
  count: fc.nat(6),
  cuts: fc.array(fc.integer({ min: 1, max: capacity }), { maxLength: 3 }),
}).map(({ first, length, count, cuts }): Sequence => ({
  ids: Array.from({ length }, (_, i) => first + i),
  count: Math.min(count, length),
  cuts,
}))

/** A question about at most `most` sequences. */
export const question = (most: number): fc.Arbitrary<Question> =>
  fc.record({
    sequences: fc.array(sequence, { minLength: 1, maxLength: most }),
    options: fc.record({
      window,
      scale: fc.constantFrom(0.125, 0.7, 1),
      softCap: fc.constantFrom(3, 50),
    }, {
      requiredKeys: ["window"],
    }),
    share: fc.integer({ min: 1, max: 2 }),
  })

/**
 * Layouts that hold the same rows in other ways; the first is contiguous, one block a sequence. int8 holds other
 * numbers than the rest, so these are among themselves.
 */
export const layouts: fc.Arbitrary<ReadonlyArray<Layout.Options>> = layout.map((drawn) => {
  const even = (drawn.valueHeads ?? drawn.keyHeads) === drawn.keyHeads &&
    (drawn.valueDim ?? drawn.keyDim) === drawn.keyDim
  const { groups: _, ...one } = drawn
  const exact = drawn.dtype !== "int8"
  return [
    { ...one, placement: "perLayer", dtype: exact ? "f32" : "int8", blockSize: capacity },
    drawn,
    { ...one, blockSize: 2, dtype: exact ? "bf16" : "int8" },
    ...(even
      ? (["perLayer", "fused", "interleaved"] as const).map((placement) => ({
        ...drawn,
        placement,
        dtype: exact ? "f16" as const : "int8" as const,
        blockSize: 3,
      }))
      : []),
  ]
})

/** Queries of tokens, one row of them for each row number. */
export const queries = (
  { keyHeads, valueHeads = keyHeads, keyDim }: Pick<
    Layout.Options,
    "keyHeads" | "valueHeads" | "keyDim"
  >,
  share: number,
): Queries => {
  const numQHeads = keyHeads * valueHeads * share
  const of = (row: number) => (_: unknown, i: number) =>
    element(row, 99, "values", Math.floor(i / 64), i % 64)
  return {
    numQHeads,
    of: (ids) => ids.flatMap((row) => Array.from({ length: numQHeads * keyDim }, of(row))),
  }
}
