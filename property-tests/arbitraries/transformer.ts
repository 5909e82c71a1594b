/** Programs over a transformer's cache: what may be done to it, in any order. @module */
import fc from "fast-check"
import type { AttnMaskDetail, Layout } from "../../mod.ts"

/** Most tokens of a row. */
export const sequenceLength = 16

/** A layer's mask; undefined is the default. */
export const detail: fc.Arbitrary<AttnMaskDetail | undefined> = fc.oneof(
  fc.constant(undefined),
  fc.constant({ maskType: "FULL" as const }),
  fc.integer({ min: 1, max: 5 }).map((size) => ({ maskType: "SLIDING" as const, size })),
  fc.record({
    maskType: fc.constant("CHUNK" as const),
    chunks: fc.integer({ min: 1, max: 7 }),
    offset: fc.nat(9),
    size: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
    bricks: fc.constantFrom(undefined, 4),
  }),
)

/** Sizes of a layer, and how its rows lie. */
export const sizes: fc.Arbitrary<
  & Pick<Layout, "keyHeads" | "valueHeads" | "keyDim" | "valueDim" | "blockSize">
  & { readonly dtype: Layout["dtype"] }
> = fc.record({
  keyHeads: fc.integer({ min: 1, max: 2 }),
  valueHeads: fc.integer({ min: 1, max: 3 }),
  keyDim: fc.integer({ min: 1, max: 3 }),
  valueDim: fc.integer({ min: 1, max: 4 }),
  blockSize: fc.constantFrom(1, 2, 3, 5, sequenceLength),
  dtype: fc.constantFrom("f32", "f16", "bf16", "int8"),
})

const count = fc.nat(6)

/** What one step does. */
export type Op =
  | {
    readonly do: "concatenate"
    readonly tokens: number
    /** Tokens that each row lets go of first. */
    readonly back?: ReadonlyArray<number> | undefined
    /** Tokens of each row that are no padding. */
    readonly real?: ReadonlyArray<number> | undefined
  }
  | {
    readonly do: "insert"
    readonly slot: number
    readonly batch: number
    readonly tokens: number
    readonly start: number
  }
  | { readonly do: "starts"; readonly slot: number; readonly start: number }
  | { readonly do: "index"; readonly slot: number; readonly back: number }

/** A step, on a cache that was made before; 0 is the newest. */
export interface Step {
  readonly base: number
  readonly layer: number
  readonly op: Op
}

const step: fc.Arbitrary<Step> = fc.record({
  base: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(20)),
  layer: fc.nat(1),
  op: fc.oneof(
    fc.record({ do: fc.constant("concatenate" as const), tokens: count }),
    fc.record({
      do: fc.constant("concatenate" as const),
      tokens: count,
      back: fc.option(fc.array(fc.nat(3), { minLength: 3, maxLength: 3 }), { nil: undefined }),
      real: fc.option(fc.array(count, { minLength: 3, maxLength: 3 }), { nil: undefined }),
    }),
    fc.record({
      do: fc.constant("insert" as const),
      slot: fc.nat(2),
      batch: fc.integer({ min: 1, max: 3 }),
      tokens: count,
      start: fc.nat(3),
    }),
    fc.record({ do: fc.constant("starts" as const), slot: fc.nat(2), start: fc.nat(9) }),
    fc.record({ do: fc.constant("index" as const), slot: fc.nat(2), back: fc.nat(6) }),
  ),
})

/** A program, and how many queries are asked of what it makes. */
export const program: fc.Arbitrary<{
  readonly sizes: typeof sizes extends fc.Arbitrary<infer T> ? T : never
  readonly batchSize: number
  readonly details: readonly [AttnMaskDetail | undefined, AttnMaskDetail | undefined]
  readonly steps: ReadonlyArray<Step>
  readonly asking: ReadonlyArray<number>
}> = fc.record({
  sizes,
  batchSize: fc.integer({ min: 1, max: 3 }),
  details: fc.tuple(detail, detail),
  steps: fc.array(step, { minLength: 1, maxLength: 10 }),
  asking: fc.array(count, { minLength: 1, maxLength: 2 }),
})
