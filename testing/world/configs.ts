/**
 * Layouts of small caches, of every placement and storage, and arenas small enough to run out of blocks.
 *
 * @module
 */
import fc from "fast-check"
import type { Layout } from "../../mod.ts"
import type { Config } from "./world.ts"

const open = (...layers: ReadonlyArray<number>) => ({ layers, window: undefined })

const groupings: ReadonlyArray<Pick<Layout.Options, "layers" | "groups">> = [
  { layers: 1 },
  { layers: 2 },
  { layers: 2, groups: [open(0), open(1)] },
  { layers: 3, groups: [open(1), open(0, 2)] },
  { layers: 3, groups: [open(2), open(0), open(1)] },
]

const sizes = fc.oneof(
  fc.record({
    placement: fc.constant("perLayer" as const),
    keyHeads: fc.integer({ min: 1, max: 2 }),
    valueHeads: fc.integer({ min: 1, max: 3 }),
    keyDim: fc.constantFrom(1, 2, 3, 5),
    valueDim: fc.constantFrom(1, 2, 3, 4, 7),
  }),
  fc.record({
    placement: fc.constantFrom("fused", "interleaved"),
    keyHeads: fc.integer({ min: 1, max: 2 }),
    keyDim: fc.constantFrom(1, 2, 3, 5),
  }),
)

/** Most tokens of a cache: with blocks of as many, it is contiguous. */
export const capacity = 24

/** A layout. Blocks and heads of prime sizes fit nothing by chance. */
export const layout: fc.Arbitrary<Layout.Options> = fc.record({
  sizes,
  grouping: fc.constantFrom(...groupings),
  blockSize: fc.constantFrom(1, 2, 3, 5, 7, 16, capacity),
  dtype: fc.constantFrom("f32", "f16", "bf16", "int8"),
}).map(({ sizes, grouping, blockSize, dtype }) => ({
  ...sizes,
  ...grouping,
  blockSize,
  capacity,
  dtype,
}))

const arena = (layouts: fc.Arbitrary<Layout.Options>) =>
  fc.tuple(layouts, fc.constantFrom(3, 4, 7, 16, 40), fc.constantFrom(0, 2, -1))
    .map(([layout, blocks, more]) => ({
      layout,
      numBlocks: (layout.groups ?? [0]).map((_, group) => Math.max(2, blocks + group * more)),
    }))

/** An arena of such a layout; groups need not have equally many blocks. */
export const config: fc.Arbitrary<Config> = fc.tuple(
  arena(layout),
  fc.constantFrom("nan", "high", "low"),
  fc.constantFrom("lifo", "fifo"),
).map(([arena, poison, recycle]) => ({ ...arena, poison, recycle }))

const shared: ReadonlyArray<Omit<Layout.Options, "blockSize">> = [
  { layers: 1, keyHeads: 1, keyDim: 3, valueHeads: 2, valueDim: 5, dtype: "f32" },
  { layers: 2, groups: [open(0), open(1)], keyHeads: 2, keyDim: 2, dtype: "f16" },
  { layers: 2, placement: "fused", keyHeads: 1, keyDim: 7, dtype: "bf16" },
  { layers: 3, groups: [open(1), open(0, 2)], keyHeads: 1, keyDim: 5, dtype: "int8" },
  { layers: 1, placement: "interleaved", keyHeads: 2, keyDim: 3, dtype: "f32" },
]

/** As few shapes as say something: a GPU compiles kernels for each, and shaders may know no NaN. */
export const fewConfigs: fc.Arbitrary<Config> = fc.tuple(
  arena(
    fc.tuple(fc.constantFrom(...shared), fc.constantFrom(1, 3, 5, 7, capacity))
      .map(([layout, blockSize]) => ({ ...layout, blockSize, capacity })),
  ),
  fc.constantFrom("high", "low"),
  fc.constantFrom("lifo", "fifo"),
).map(([arena, poison, recycle]) => ({ ...arena, poison, recycle }))
