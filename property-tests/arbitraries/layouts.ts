/**
 * Layouts of small caches, of every placement and storage, and arenas small enough to run out of blocks.
 *
 * @module
 */
import fc from "fast-check"
import type { Layout } from "../../mod.ts"
import type { Config } from "../models/world.ts"

const groupings: ReadonlyArray<Pick<Layout.Options, "layers" | "groups">> = [
  { layers: 1 },
  { layers: 2 },
  {
    layers: 2,
    groups: [{ layers: [0], window: undefined }, { layers: [1], window: undefined }],
  },
  {
    layers: 3,
    groups: [{ layers: [1], window: undefined }, { layers: [0, 2], window: undefined }],
  },
]

const sizes = fc.oneof(
  fc.record({
    placement: fc.constant("perLayer" as const),
    keyHeads: fc.integer({ min: 1, max: 2 }),
    valueHeads: fc.integer({ min: 1, max: 3 }),
    keyDim: fc.integer({ min: 1, max: 3 }),
    valueDim: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({
    placement: fc.constantFrom("fused", "interleaved"),
    keyHeads: fc.integer({ min: 1, max: 2 }),
    keyDim: fc.integer({ min: 1, max: 3 }),
  }),
)

/** Most tokens of a cache: with blocks of as many, it is contiguous. */
export const capacity = 24

/** A layout. */
export const layout: fc.Arbitrary<Layout.Options> = fc.record({
  sizes,
  grouping: fc.constantFrom(...groupings),
  blockSize: fc.constantFrom(1, 2, 3, 5, 16, capacity),
  dtype: fc.constantFrom("f32", "f16", "bf16", "int8"),
}).map(({ sizes, grouping, blockSize, dtype }) => ({
  ...sizes,
  ...grouping,
  blockSize,
  capacity,
  dtype,
}))

/** An arena of such a layout; groups need not have equally many blocks. */
export const config: fc.Arbitrary<Config> = fc.tuple(
  layout,
  fc.constantFrom(3, 4, 8, 16, 40),
  fc.constantFrom(0, 2, -1),
).map(([layout, blocks, more]) => ({
  layout,
  numBlocks: (layout.groups ?? [0]).map((_, group) => blocks + group * more),
}))
