/** `pageAttention` over tensors of both orders and over pages of an arena, against dense attention. */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Gpu, PageAttention, Pages, Program, Recording } from "../../mod.ts"
import { everywhere } from "../device/everywhere.ts"
import { near } from "../../testing/world/readings.ts"
import * as Shelf from "../models/shelf.ts"
import {
  both,
  dense,
  one,
  overPages,
  overTensors,
  type Problem,
  queryOf,
  shelfOf,
} from "../models/paged.ts"

const problem: fc.Arbitrary<Problem> = fc.record({
  pages: fc.integer({ min: 1, max: 6 }),
  slots: fc.constantFrom(1, 2, 3, 4, 5, 16),
  heads: fc.integer({ min: 1, max: 3 }),
  group: fc.integer({ min: 1, max: 5 }),
  keyDim: fc.constantFrom(1, 2, 3, 8, 16),
  valueDim: fc.constantFrom(1, 3, 8),
  dtype: fc.constantFrom("f32", "f16", "bf16"),
  asked: fc.array(
    fc.record({ blocks: fc.array(fc.nat(5), { maxLength: 5 }), cut: fc.nat(16), more: fc.nat(2) }),
    { maxLength: 4 },
  ),
  scale: fc.constantFrom(undefined, 0.5, 1),
  softCap: fc.constantFrom(undefined, 2, 30),
  window: fc.constantFrom(undefined, 1, 3, 7, 100),
}).map(({ asked, ...sizes }) => ({
  ...sizes,
  rows: asked.map(({ blocks, cut, more }) => {
    const used = blocks.map((block) => block % sizes.pages)
    const contextLen = Math.max(0, used.length * sizes.slots - cut)
    const cells = used.slice(0, Math.ceil(contextLen / sizes.slots))
    return { blocks: [...cells, ...new Array<number>(more).fill(-1)], contextLen }
  }),
}))

test("pageAttention() equals dense attention, in both orders and in an arena, whatever lies outside", () => {
  fc.assert(
    fc.property(problem, fc.constantFrom(NaN, 60000, -60000), (p, poison) => {
      const { shelf, pool } = shelfOf(p)
      const outs = both.map((orders) => Shelf.run(shelf, overTensors(p, orders, poison)))
      near("pages first", outs[0]!, dense(p), 1e-6)
      for (const out of outs) assert.deepEqual(out, outs[0])
      assert.deepEqual(Shelf.run(shelf, overPages(p, pool)), outs[0], "in an arena")
      Shelf.end(shelf)
    }),
    { numRuns: 150 },
  )
})

test("pageAttention() gives a row alone the bits it gives in a batch", () => {
  fc.assert(
    fc.property(problem, (p) => {
      const { shelf } = shelfOf(p)
      const whole = Shelf.run(shelf, overTensors(p, both[0]!, NaN))
      const size = whole.length / Math.max(1, p.rows.length)
      for (const [i, row] of p.rows.entries()) {
        const data = queryOf(p).data
        const width = p.heads * p.group * p.keyDim
        const query = Recording.fresh(
          "f32",
          "numSeqs numHeads headDim",
          [1, p.heads * p.group, p.keyDim],
          Float32Array.from(data.slice(i * width, (i + 1) * width)),
        )
        const alone = Shelf.run(
          shelf,
          overTensors({ ...p, rows: [row] }, both[0]!, NaN, { query }),
        )
        assert.deepEqual(alone, whole.slice(i * size, (i + 1) * size))
      }
      Shelf.end(shelf)
    }),
    { numRuns: 60 },
  )
})

test("pageAttention() gives the same bits with every hint on and off", () => {
  const { shelf } = shelfOf(one)
  const want = Shelf.run(shelf, overTensors(one, both[0]!, NaN))
  const hints: ReadonlyArray<Partial<PageAttention.Options>> = [
    ...[9, 10, 1000].map((maxContextLen) => ({ maxContextLen })),
    ...[0, 1, 3, 64].map((numSplits) => ({ numSplits })),
    ...[1, 2, 7].map((pagesPerComputeBlock) => ({ pagesPerComputeBlock })),
    { megacoreMode: "kv_head" },
    { megacoreMode: "batch" },
    { inlineSeqDim: true },
    { inlineSeqDim: false },
    ...[PageAttention.DEFAULT_MASK_VALUE, 0, -1, 1e30, NaN, Infinity, -Infinity]
      .map((maskValue) => ({ maskValue })),
    {
      maxContextLen: 12,
      numSplits: 2,
      pagesPerComputeBlock: 3,
      megacoreMode: "batch",
      inlineSeqDim: false,
      maskValue: 1,
    },
  ]
  for (const hint of hints) {
    const got = Shelf.run(shelf, overTensors(one, both[0]!, NaN, hint))
    assert.deepEqual(got, want, JSON.stringify(hint))
  }
  assert.equal(PageAttention.DEFAULT_MASK_VALUE, -0.7 * 3.4028234663852886e38)
  Shelf.end(shelf)
})

test("pageAttention() over an arena whose layer has a window sees no more, and no less when told", () => {
  const shelf = Shelf.make({
    layers: 1,
    keyHeads: 2,
    keyDim: 8,
    blockSize: 4,
    groups: [{ layers: [0], window: 3 }],
  })
  const pool = Result.getOrThrow(Pages.make(shelf.world.arena, one.pages))
  near("own", Shelf.run(shelf, overPages(one, pool)), dense({ ...one, window: 3 }), 1e-6)
  const wider = { ...one, window: 5 }
  near("told", Shelf.run(shelf, overPages(wider, pool)), dense(wider), 1e-6)
  Shelf.end(shelf)
})

test("pageAttention() over an arena of several layers reads the one that is asked for", () => {
  const shelf = Shelf.make({ layers: 2, keyHeads: 1, keyDim: 1, blockSize: 4 })
  const pool = Result.getOrThrow(Pages.make(shelf.world.arena, 1))
  const fresh = <const A extends string>(axes: A, ...data: ReadonlyArray<number>) =>
    Recording.fresh(
      "f32",
      axes,
      [2, 1, 1, 1].slice(-axes.split(" ").length),
      Float32Array.from(data),
    )
  const read = (layer: number) =>
    Effect.gen(function* () {
      const { out } = yield* Program.run(Effect.suspend(() => {
        const keys = fresh("layers tokens keyHeads keyDim", 1, 1)
        const values = fresh("layers tokens valueHeads valueDim", 5, 7)
        const runs = [{ page: 0, offset: 0, from: 0, count: 1 }]
        const pages = Result.getOrThrow(Pages.write(pool, { keys, values }, runs))
        const query = fresh("numSeqs numHeads headDim", 1)
        const rows = { query, contextLens: [1], blockTables: [[0]] }
        return PageAttention.pageAttention({ ...rows, pages, layer })
      }))
      return [...yield* Gpu.read(out)]
    })
  assert.deepEqual([0, 1].map((layer) => Shelf.run(shelf, Effect.scoped(read(layer)))), [[5], [7]])
  Shelf.end(shelf)
})

const shapes = [
  { keyDim: 256, valueDim: 256, group: 1, slots: 1, dtype: "f32" },
  { keyDim: 301, valueDim: 301, group: 2, slots: 4, dtype: "f32" },
  { keyDim: 128, valueDim: 64, group: 5, slots: 3, dtype: "f16" },
  { keyDim: 7, valueDim: 5, group: 3, slots: 5, dtype: "bf16" },
] as const

everywhere(
  "pageAttention() takes any dims, groups, pages and storages on every device",
  () =>
    Effect.forEach(
      shapes,
      Effect.fnUntraced(function* (sizes) {
        const p: Problem = {
          ...one,
          ...sizes,
          pages: 40,
          rows: [
            { blocks: Array.from({ length: 40 }, (_, i) => 39 - i), contextLen: 37 },
            { blocks: [-1], contextLen: 0 },
            { blocks: [5, -1], contextLen: 1 },
          ],
        }
        // A device may take it that there is no NaN, so it is told of numbers that are far too large.
        const poison = sizes.dtype === "f16" ? 60000 : 1e30
        for (const window of [undefined, 9]) {
          for (const orders of both) {
            const out = yield* Effect.scoped(overTensors({ ...p, window }, orders, poison))
            near("out", out, dense({ ...p, window }), 1e-4)
          }
        }
      }),
    ),
)
