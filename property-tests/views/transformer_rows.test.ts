/** Rows and layers of a `TransformerCache`: inserts, snapshots, and the memory they lie in. */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  AttnMaskType,
  Gpu,
  KvCache,
  Lease,
  Program,
  Recording,
  TransformerCache,
  TransformerCacheMetaData,
  TransformerCacheView,
} from "../../mod.ts"
import { Keep } from "../../lib/tensor/Recording.ts"
import { near } from "../../testing/world/readings.ts"
import * as Shelf from "../models/shelf.ts"
import { cacheOn, filled, metadataOf, picture, shelfOf, some } from "../models/transformer.ts"

test("insert() takes a batch, shares the rows of its own arena and copies those of another", () => {
  const metadata = metadataOf({ batchSize: 3, keyHeads: 2, valueHeads: 3, keyDim: 3 })
  const shelf = shelfOf(metadata, { blockSize: 2 })
  const cache = filled(shelf, cacheOn(shelf, metadata), 3)
  const before = picture(shelf, cache)
  const pair = { ...metadata, batchSize: 2 }
  const starts = [1, 2]
  const beside = filled(shelf, cacheOn(shelf, pair, { starts }), 5)
  const used = () => shelf.world.arena.ledgers[0]!.numFree
  const free = used()
  const shared = Shelf.run(shelf, Program.run(TransformerCache.insert(cache, beside, 1)))
  assert.equal(used(), free, "no block is taken")
  assert.equal(shared.views[0]!.rows[1], beside.views[0]!.rows[0])
  const far = shelfOf(metadata, { blockSize: 3, dtype: "bf16" })
  const other = filled(far, cacheOn(far, pair, { starts }), 5)
  const lease = far.guard.owner
  const inserted = TransformerCache.insert(cache, other, 1, { lease, cast: true })
  const copied = Shelf.run(shelf, Program.run(inserted))
  for (const { indexs, starts } of [...shared.views, ...copied.views].map((view) => view!)) {
    assert.deepEqual([indexs, starts], [[3, 5, 5], [0, 1, 2]])
  }
  assert.ok(used() < free, "a copy takes blocks")
  // The copy holds what the other did, as bf16 had rounded it.
  const rows = (of: Shelf.Shelf, one: TransformerCache, row: number) =>
    Shelf.gather(of, one.views[1]!.rows[row]!)
  for (const row of [0, 1]) assert.deepEqual(rows(shelf, copied, row + 1), rows(far, other, row))
  assert.notDeepEqual(rows(shelf, shared, 1), rows(shelf, copied, 1))
  assert.deepEqual(picture(shelf, cache), before, "the old value is as it was")
  for (const end of [shelf, far]) Shelf.end(end)
})

test("insert() copies a row whose first blocks were let go", () => {
  const metadata = metadataOf({ batchSize: 1, numHiddenLayers: 1, sequenceLength: 16 })
  const slides = { maskTypeDetails: { 0: { maskType: AttnMaskType.SLIDING, size: 3 } } }
  const [here, far] = [shelfOf(metadata), shelfOf(metadata, { blockSize: 2 })]
  const other = filled(far, filled(far, cacheOn(far, metadata, slides), 8), 1)
  assert.equal(other.views[0]!.rows[0]!.starts[0], 6)
  const lease = far.guard.owner
  const empty = cacheOn(here, metadata, slides)
  const made = Shelf.run(here, Program.run(TransformerCache.insert(empty, other, 0, { lease })))
  assert.equal(made.views[0]!.rows[0]!.starts[0], 6)
  assert.deepEqual(picture(here, made), picture(far, other))
  for (const end of [here, far]) Shelf.end(end)
})

test("initCache() stores bf16 unless told, in memory that is all its rows and one to spare", async () => {
  await Effect.runPromise(
    Effect.scoped(Effect.gen(function* () {
      const metadata = metadataOf({ numHiddenLayers: 3 })
      const cache = yield* TransformerCache.initCache({ metadata, starts: [0, 1] })
      const { arena } = cache.views[0]!
      assert.equal(arena.layout.dtype, "bf16")
      assert.equal(arena.layout.blockSize, 8)
      assert.equal(arena.ledgers[0]!.numBlocks, 9)
      assert.ok(cache.views.every((view, i) => view!.layerIndex === i && view!.arena === arena))
      const made = yield* Lease.scoped(arena)(Effect.gen(function* () {
        const key = some("batch tokens keyHeads keyDim", [2, 2, 1, 2])
        const value = some("batch tokens valueHeads valueDim", [2, 2, 1, 2])
        const next = yield* Program.run(
          TransformerCacheView.concatenateToCache(cache.views[0]!, { key, value }),
        )
        return yield* Gpu.read(next.keys)
      }))
      const given = Float32Array.from({ length: 8 }, (_, i) => Math.sin(1 + 0.7 * i))
      const first = [...made.subarray(0, 4), ...made.subarray(16, 20)]
      near("bf16", first, given, 2 ** -8)
      assert.ok(first.some((x, i) => x !== given[i]))
      const odd = first.map((x) => new Uint32Array(Float32Array.of(x).buffer)[0]! % 65536)
      assert.deepEqual(odd, odd.map(() => 0), "each is a bf16")
      assert.deepEqual([...made.subarray(4, 16)], new Array(12).fill(0))
      const half = yield* TransformerCache.initCache({ metadata, dtype: "f16", blockSize: 4 })
      assert.equal(half.views[0]!.arena.layout.dtype, "f16")
      assert.equal(half.views[0]!.arena.ledgers[0]!.numBlocks, 18)
      const storing = { name: "half", storage: "f16" } as const
      const quantized = yield* TransformerCache.initCache({ metadata, quantizer: storing })
      assert.equal(quantized.views[0]!.arena.layout.dtype, "f16")
    })).pipe(Effect.provide(Gpu.layerCpu())),
  )
})

test("at(), with() and snapshots: an assignment is a fork", () => {
  const metadata = metadataOf()
  const shelf = shelfOf(metadata, { blockSize: 2 })
  const cache = filled(shelf, cacheOn(shelf, metadata), 3)
  const before = picture(shelf, cache)
  const left = filled(shelf, cache, 2)
  const rolled = Result.getOrThrow(TransformerCache.insertIndex(cache, [1], 1))
  const right = filled(shelf, rolled, 4)
  assert.deepEqual(right.views.map((view) => view!.indexs), [[7, 5], [7, 5]])
  assert.equal(Result.getOrThrow(TransformerCache.at(left, 1)), left.views[1])
  assert.deepEqual(picture(shelf, cache), before)
  const one = Result.getOrThrow(TransformerCache.with(cache, 0, left.views[0]!))
  assert.deepEqual(one.views.map((view) => view!.indexs), [[5, 5], [3, 3]])
  const keys = Shelf.run(
    shelf,
    Effect.gen(function* () {
      const [key, value] = yield* Program.run(
        Effect.all([
          TransformerCacheView.key(left.views[0]!),
          TransformerCacheView.value(left.views[0]!),
        ]),
      )
      return [yield* Gpu.read(key), yield* Gpu.read(value)]
    }),
  )
  const [pictured] = picture(shelf, left) as ReadonlyArray<
    { readonly keys: Float32Array; readonly values: Float32Array }
  >
  assert.deepEqual(keys, [pictured!.keys, pictured!.values])
  Shelf.end(shelf)
})

test("a view holds no more than it says, also in an arena with room for more", () => {
  const shelf = Shelf.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 4 })
  const { arena } = shelf.world
  const sizes = { batchSize: 2, sequenceLength: 4, numHiddenLayers: 1, padTokenId: 0 }
  const metadata = Result.getOrThrow(
    TransformerCacheMetaData.create({ ...sizes, numHeads: 1, headDim: 2 }),
  )
  const view = Result.getOrThrow(TransformerCacheView.init(arena, { metadata, starts: [1, 2] }))
  const shape = [2, 5, 1, 2]
  const numbers = Float32Array.from({ length: 20 }, (_, i) => i + 1)
  const key = Recording.fresh("f32", "batch tokens keyHeads keyDim", shape, numbers)
  const value = Recording.fresh("f32", "batch tokens valueHeads valueDim", shape)
  const { message } = Result.getOrThrow(
    Result.flip(TransformerCacheView.append(view, { key, value })),
  )
  assert.equal(message, "Cannot grow the cache as it needs 5 tokens: its capacity is 4")
  const replaced = Shelf.lasting(shelf, TransformerCacheView.withRow(view, 0, KvCache.empty(arena)))
  assert.deepEqual(replaced.value.starts, [0, 2]) // a row that comes from elsewhere has no padding

  const rows = {
    key: { ...key, shape: [2, 3, 1, 2] },
    value: { ...value, shape: [2, 3, 1, 2] },
  }
  const three = { postpadded: true, queryLengths: [3, 0] }
  const one = Result.getOrThrow(TransformerCacheView.append(view, rows, three))
  assert.equal(TransformerCacheView.isEmpty(one), false, "one row is empty, another is not")
  assert.equal([...one[Keep]()].length, 2, "what its rows owe")
  const [first] = one.rows
  const late = Result.getOrThrow(KvCache.dropBefore(first!, 2, 0))
  const seen = Shelf.lasting(
    shelf,
    Effect.flatMap(
      TransformerCacheView.withRow(one, 0, late),
      ({ value }) => TransformerCacheView.materialize(value),
    ),
  )
  assert.deepEqual([...seen.positions], [-1, -1, 2, -1, -1, -1, -1, -1])
  const got = Shelf.run(shelf, Gpu.read(seen.keys))
  assert.deepEqual([...got], [0, 0, 0, 0, 5, 6, ...new Array<number>(10).fill(0)])
  Shelf.end(shelf)
})
