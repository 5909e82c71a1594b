/** Attention over the shards of a view merges to attention over the whole. */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  type Attention,
  AttnMaskType,
  Gpu,
  type Layout,
  Lease,
  type Partition,
  Program,
  TransformerCache,
  TransformerCacheMetaData,
  TransformerCacheView,
  Window,
} from "../../mod.ts"
import { everywhere } from "../device/everywhere.ts"
import { near } from "../../testing/world/readings.ts"
import { cacheOn, filled, metadataOf, refuses, shelfOf, some } from "../models/transformer.ts"
import * as Shelf from "../models/shelf.ts"

const table: Partition.PartitionTable = {
  rules: { batch: ["b"], kvLength: ["l"], kvHead: ["h"], kvHeadDim: ["d"] },
}

interface Question {
  readonly mesh: Partition.Mesh
  readonly mask: Attention.Mask
  readonly detail: { readonly maskType: "FULL" } | {
    readonly maskType: "SLIDING"
    readonly size: number
  }
  readonly lengths: ReadonlyArray<number>
  readonly tokens: number
  readonly blockSize: number
  readonly dtype: Layout["dtype"]
}

const sizes = { keyHeads: 2, valueHeads: 4, keyDim: 4, valueDim: 6 }

/** A batch whose rows have these lengths. */
const viewOf = ({ lengths, detail, blockSize, dtype }: Question) =>
  Effect.gen(function* () {
    const metadata = yield* Effect.fromResult(TransformerCacheMetaData.create({
      batchSize: lengths.length,
      sequenceLength: 12,
      numHiddenLayers: 1,
      padTokenId: 0,
      ...sizes,
    }))
    const cache = yield* TransformerCache.initCache({
      metadata,
      dtype,
      blockSize,
      numBlocks: 100, // what is put together again lies beside the whole
      maskTypeDetails: { 0: detail },
      starts: lengths.map((_, i) => i),
    })
    return cache.views[0]!
  })

const chunk = (batch: number, tokens: number) => ({
  key: some("batch tokens keyHeads keyDim", [batch, tokens, 2, 4]),
  value: some("batch tokens valueHeads valueDim", [batch, tokens, 4, 6], 9),
})

/** What the whole answers and what its shards do, keys and values of it, and of it put together again. */
const compare = (question: Question, within: number) =>
  Effect.scoped(Effect.gen(function* () {
    const { lengths, mesh, mask, tokens } = question
    const empty = yield* viewOf(question)
    yield* Lease.scoped(empty.arena)(Effect.gen(function* () {
      const { view } = yield* Program.run(TransformerCacheView.concatenateToCache(empty, {
        ...chunk(lengths.length, 12),
        cacheMetadata: { postpadded: true, queryLengths: lengths },
      }))
      const sharded = yield* Program.run(TransformerCacheView.shard(view, { mesh, table }))
      const count = Object.values(mesh).reduce((product, n) => product * n, 1)
      assert.equal(sharded.shards.length, count)
      const made = yield* Program.run(Effect.gen(function* () {
        const query = some("batch tokens numQHeads headDim", [lengths.length, tokens, 8, 4], 3)
        const scores = { scale: 0.7, softCap: 5 }
        return {
          whole: yield* TransformerCacheView.attend(query, view, { mask, ...scores }),
          parts: yield* TransformerCacheView.attendShards(query, sharded, { mask, ...scores }),
        }
      }))
      const again = yield* Program.run(TransformerCacheView.unshard(sharded))
      const dense = yield* Program.run(Effect.all({
        before: TransformerCacheView.materialize(view),
        after: TransformerCacheView.materialize(again),
      }))
      const { whole, parts } = made
      near("outputs", yield* Gpu.read(parts.out), yield* Gpu.read(whole.out), within)
      near("log-sum-exps", yield* Gpu.read(parts.lse), yield* Gpu.read(whole.lse), within)
      assert.deepEqual(parts.out.shape, whole.out.shape)
      assert.deepEqual(again.indexs, view.indexs)
      assert.deepEqual(dense.after.positions, dense.before.positions)
      for (const half of ["keys", "values"] as const) {
        const [after, before] = [dense.after[half], dense.before[half]]
        assert.deepEqual(yield* Gpu.read(after), yield* Gpu.read(before))
      }
    }))
  }))

const question: fc.Arbitrary<Question> = fc.record({
  mesh: fc.record({
    b: fc.constantFrom(1, 2),
    l: fc.constantFrom(1, 2, 3),
    h: fc.constantFrom(1, 2),
    d: fc.constantFrom(1, 2, 3),
  }),
  mask: fc.constantFrom<Attention.Mask>(
    {},
    { causal: false },
    { chunk: 5 },
    { window: Window.last(3) },
  ),
  detail: fc.constantFrom<Question["detail"]>(
    { maskType: AttnMaskType.FULL },
    { maskType: AttnMaskType.SLIDING, size: 4 },
  ),
  lengths: fc.array(fc.integer({ min: 2, max: 12 }), { minLength: 2, maxLength: 2 }),
  tokens: fc.integer({ min: 1, max: 2 }),
  blockSize: fc.constantFrom(1, 3, 5, 12),
  dtype: fc.constantFrom("f32", "f16", "bf16", "int8"),
})

test("attendShards() over any division of a view merges to what attend() answers", async () => {
  await fc.assert(
    fc.asyncProperty(
      question,
      (one) => Effect.runPromise(Effect.provide(compare(one, 1e-6), Gpu.layerCpu())),
    ),
    { numRuns: 40 },
  )
})

test("attendShards() over divided rows gives each its own segments", () =>
  Effect.runPromise(Effect.provide(
    compare({
      mesh: { b: 2, l: 1, h: 1, d: 1 },
      mask: { segments: [[0, 0, 1, 1], [0, 1, 1]] },
      detail: { maskType: AttnMaskType.FULL },
      lengths: [4, 3],
      tokens: 2,
      blockSize: 3,
      dtype: "f32",
    }, 1e-6),
    Gpu.layerCpu(),
  )))

everywhere(
  "attendShards() divides batch, sequence, heads and value elements at once",
  () =>
    compare({
      mesh: { b: 2, l: 3, h: 2, d: 3 },
      mask: {},
      detail: { maskType: AttnMaskType.SLIDING, size: 5 },
      lengths: [11, 7],
      tokens: 2,
      blockSize: 4,
      dtype: "f16",
    }, 1e-5),
)

test("unshard() gives back what was let go as a hole, and empty rows as they were", () => {
  const metadata = metadataOf({ batchSize: 2, keyHeads: 2, valueHeads: 2 })
  const shelf = shelfOf(metadata, { blockSize: 2 })
  const sliding = { maskType: AttnMaskType.SLIDING, size: 3 }
  const slid = cacheOn(shelf, metadata, { maskTypeDetails: { 0: sliding } })
  const late = filled(shelf, filled(shelf, slid, 6), 1).views[0]!
  const two = filled(shelf, cacheOn(shelf, metadata), 3)
  const one = Result.getOrThrow(TransformerCache.insertIndex(two, [0], 1)).views[0]!
  assert.deepEqual(late.rows.map(({ starts }) => starts), [[4], [4]])
  const mesh = { b: 2, l: 1, h: 2, d: 1 }
  for (const view of [late, one]) {
    const read = (of: TransformerCacheView) =>
      Effect.flatMap(
        Program.run(TransformerCacheView.materialize(of)),
        ({ keys, values }) => Effect.all([Gpu.read(keys), Gpu.read(values)]),
      )
    Shelf.run(
      shelf,
      Effect.gen(function* () {
        const sharded = yield* Program.run(TransformerCacheView.shard(view, { mesh, table }))
        const again = yield* Program.run(TransformerCacheView.unshard(sharded))
        const seen = (of: TransformerCacheView) =>
          of.rows.map(({ length, starts }) => [length, starts])
        assert.deepEqual(seen(again), seen(view))
        assert.deepEqual(yield* read(again), yield* read(view))
      }),
    )
  }
  Shelf.end(shelf)
})

test("shard() shares rows and positions, copies heads, and refuses what does not divide", () => {
  const metadata = metadataOf({ batchSize: 2, keyHeads: 2, valueHeads: 2, numHeads: 4 })
  const shelf = shelfOf(metadata)
  const cache = filled(shelf, cacheOn(shelf, metadata), 5)
  const mesh = { b: 2, l: 2, h: 1, d: 1 }
  const { numFree } = shelf.world.arena.ledgers[0]!
  const layers = Shelf.run(shelf, Program.run(TransformerCache.shard(cache, { mesh, table })))
  assert.equal(shelf.world.arena.ledgers[0]!.numFree, numFree, "no block is taken")
  const [first, second, third] = layers[0]!.shards
  assert.equal(first!.view.arena, shelf.world.arena)
  assert.deepEqual([first!.batch, first!.positions], [{ from: 0, to: 1 }, { from: 0, to: 4 }])
  assert.deepEqual([second!.positions, third!.batch], [{ from: 4, to: 8 }, { from: 1, to: 2 }])
  assert.deepEqual(second!.view.rows.map(({ length, starts }) => [starts[0], length]), [[4, 5]])
  assert.deepEqual(third!.view.starts, cache.views[0]!.starts.slice(1))
  const heads = { mesh: { ...mesh, h: 2 }, table: { ...table, modes: { decode: { kvHead: [] } } } }
  const [half] =
    Shelf.run(shelf, Program.run(TransformerCacheView.shard(cache.views[0]!, heads))).shards
  assert.equal(half!.view.metadata.numHeads, metadata.numHeads! / 2)
  const decoding = Shelf.run(shelf, Program.run(TransformerCache.shard(cache, heads, "decode")))
  assert.equal(decoding[0]!.shards.length, 4, "its mode divides no heads")
  const rows = { mesh: { ...mesh, l: 1 }, table }
  const divided = Shelf.run(shelf, Program.run(TransformerCache.shard(cache, rows)))
  const whole = Shelf.run(shelf, Program.run(TransformerCache.unshard(divided)))
  for (const [layer, view] of whole.views.entries()) {
    assert.deepEqual(view!.rows, cache.views[layer]!.rows, "rows that are shared both ways")
  }
  const none = Result.getOrThrow(TransformerCache.initEmpty(2))
  const nothing = Shelf.run(shelf, Program.run(TransformerCache.shard(none, rows)))
  assert.deepEqual(nothing, [undefined, undefined])
  const refused = (mesh: Partition.Mesh, message: string) =>
    refuses(
      shelf,
      cache,
      Effect.scoped(TransformerCacheView.shard(cache.views[0]!, { mesh, table })),
      "InvalidArgument",
      `Cannot take ${message}`,
    )
  const parts = (n: number, axis: string) =>
    `a multiple of ${n}, the parts of the mesh axes ${axis}`
  refused({ ...mesh, b: 3 }, `2 as the size of batch: it must be ${parts(3, "b")}`)
  refused({ ...mesh, l: 3 }, `8 as the size of kvLength: it must be ${parts(3, "l")}`)
  refused({ ...mesh, h: 4 }, `2 as the size of kvHead: it must be ${parts(4, "h")}`)
  refused({ ...mesh, d: 4 }, `2 as the size of kvHeadDim: it must be ${parts(4, "d")}`)
  Shelf.end(shelf)
})
