/** A cache as JSON and back: everything survives, and nothing damaged is taken. */
import { Effect, Result, Scope } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  checksumOf,
  decode,
  encode,
  type PureCache,
} from "../../lib/views/transformer/pure_format.ts"
import {
  AttnMaskType,
  Gpu,
  type Layout,
  Lease,
  Program,
  TransformerCache,
  TransformerCacheView,
} from "../../mod.ts"
import * as Shelf from "../models/shelf.ts"
import { cacheOn, filled, metadataOf, picture, shelfOf, some } from "../models/transformer.ts"
import { everywhere } from "../device/everywhere.ts"

const masks = {
  0: { maskType: AttnMaskType.SLIDING, size: 3, bricks: 2 },
  1: { maskType: AttnMaskType.CHUNK, chunks: 4, offset: 1, size: 3 },
}

/** Rows of different lengths, some without their first blocks. */
const begin = (dtype: Layout["dtype"]) => {
  const metadata = metadataOf({
    batchSize: 2,
    sequenceLength: 12,
    numHiddenLayers: 3,
    padTokenId: 5,
    keyHeads: 2,
    valueHeads: 1,
    keyDim: 3,
    valueDim: 5,
    updateCausalMask: false,
    createAttentionBias: false,
    slidingWindow: 9,
  })
  const shelf = shelfOf(metadata, { blockSize: 2, dtype })
  const empty = cacheOn(shelf, metadata, { starts: [0, 2], maskTypeDetails: masks })
  const cache = filled(shelf, filled(shelf, empty, 7), 1)
  return { shelf, cache: Result.getOrThrow(TransformerCache.insertIndex(cache, [6], 1)) }
}

const written = (shelf: Shelf.Shelf, cache: TransformerCache) =>
  JSON.parse(JSON.stringify(Shelf.run(shelf, TransformerCache.toPure(cache))))

/** Restored with memory of the world's scope. */
const restored = (shelf: Shelf.Shelf, data: TransformerCache.Pure): TransformerCache =>
  Effect.runSync(
    TransformerCache.fromPure(data, { arena: shelf.world.arena }).pipe(
      Effect.provideContext(shelf.world.context),
      Scope.provide(shelf.world.scope),
    ),
  )

for (const dtype of ["f32", "f16", "bf16", "int8"] as const) {
  test(`fromPure() gives back all that toPure() wrote, bit for bit [${dtype}]`, () => {
    const { shelf, cache } = begin(dtype)
    const before = picture(shelf, cache)
    const again = restored(shelf, written(shelf, cache))
    assert.deepEqual(picture(shelf, again), before)
    assert.deepEqual(picture(shelf, cache), before)
    assert.equal(`${again}`, `${cache}`)
    for (const [layer, view] of again.views.entries()) {
      const old = cache.views[layer]!
      assert.deepEqual(view!.maskingDetails, old.maskingDetails)
      assert.deepEqual(view!.rows.map(({ starts }) => starts), old.rows.map(({ starts }) => starts))
    }
    const pure = written(shelf, cache)
    assert.deepEqual(written(shelf, again), pure)
    assert.equal(pure.blockSize, 2)
    const { key } = pure.views[0].view
    assert.ok(!/^[0-9a-f]*$/.test(key), "bytes are base64, and not hexadecimal")
    Shelf.end(shelf)
  })
}

test("toPure() keeps layers without a view, and a cache without any", () => {
  const { shelf, cache } = begin("f32")
  const empty = Result.getOrThrow(TransformerCache.initEmpty(3))
  const one = Result.getOrThrow(TransformerCache.with(empty, 2, cache.views[2]!))
  const again = restored(shelf, written(shelf, one))
  assert.deepEqual(again.views.map((view) => view?.layerIndex), [undefined, undefined, 2])
  assert.deepEqual(restored(shelf, written(shelf, empty)).views, [undefined, undefined, undefined])
  Shelf.end(shelf)
})

test("fromPure() refuses other versions and damaged data", () => {
  const { shelf, cache } = begin("f32")
  const { world } = shelf
  const data = written(shelf, cache)
  const refused = (change: (copy: typeof data) => void, message: string | RegExp) => {
    const copy = structuredClone(data)
    change(copy)
    const tried = TransformerCache.fromPure(copy, { arena: world.arena })
    const why = Effect.runSync(
      Effect.scoped(Effect.flip(tried)).pipe(Effect.provideContext(world.context)),
    )
    assert.equal(why._tag, "BadCacheData")
    const prefix = "Cannot restore a cache from its data: "
    if (typeof message === "string") assert.equal(why.message, prefix + message)
    else assert.match(why.message, message)
  }
  refused((it) => it.version = 2, "its version is 2, and this reads 1")
  refused((it) => it.format = "other", "its format is not kvasir/TransformerCache")
  refused((it) => delete it.views, /its structure is damaged: .*views/)
  refused((it) => it.quantizer = "other", 'its quantizer is "other", which is unknown')
  refused((it) => it.dtype = "q8_0", 'its dtype is "q8_0", which is unknown')
  const checksum = "layer 1 is damaged: its checksum differs"
  refused((it) => it.views[1].checksum ^= 1, checksum)
  refused((it) => it.views[1].view.indexs[0] = 7, checksum)
  refused((it) => it.views[1].view.maskingDetails.chunks = 5, checksum)
  refused((it) => {
    const { key } = it.views[1].view
    it.views[1].view.key = (key[0] === "A" ? "B" : "A") + key.slice(1)
  }, checksum)
  refused((it) => {
    const { success: pure } = decode(it) as { success: PureCache }
    const { view } = pure.views[1]!
    const longer = { ...view, key: Uint8Array.of(...view.key, 0, 0, 0, 0) }
    const views = pure.views.with(1, { view: longer, checksum: checksumOf(longer) })
    Object.assign(it, encode({ ...pure, views }))
  }, "layer 1 is damaged: its sizes disagree")
  refused((it) => it.views[0].view.key = "?", /its structure is damaged: /)
  refused((it) => it.views[0].view.starts[0] = -1, /its structure is damaged: /)
  const f16 = shelfOf(cache.views[0]!.metadata, { dtype: "f16" })
  const tried = TransformerCache.fromPure(data, { arena: f16.world.arena })
  const why = Effect.runSync(
    Effect.scoped(Effect.flip(tried)).pipe(Effect.provideContext(f16.world.context)),
  )
  assert.equal(
    why.message,
    "Cannot take f16 as the arena's dtype: it must be f32, as the data is",
  )
  for (const end of [shelf, f16]) Shelf.end(end)
})

everywhere(
  "toPure() and fromPure() carry a cache to an arena of its own",
  () =>
    Effect.scoped(Effect.gen(function* () {
      const metadata = metadataOf({ batchSize: 2, numHiddenLayers: 1, keyDim: 3 })
      const maskTypeDetails = { 0: { maskType: AttnMaskType.SLIDING, size: 3 } }
      const empty = yield* TransformerCache.initCache({ metadata, maskTypeDetails, blockSize: 2 })
      const run = (cache: TransformerCache) =>
        Effect.gen(function* () {
          const view = cache.views[0]!
          const made = yield* Program.run(Effect.gen(function* () {
            const key = some("batch tokens keyHeads keyDim", [2, 3, 1, 3])
            const value = some("batch tokens valueHeads valueDim", [2, 3, 1, 2])
            const query = some("batch tokens numQHeads headDim", [2, 3, 2, 3])
            const next = yield* TransformerCacheView.concatenateToCache(view, { key, value, query })
            const states = yield* TransformerCacheView.attend(query, next.view)
            return { view: next.view, out: states.out }
          }))
          return { view: made.view, out: yield* Gpu.read(made.out) }
        })
      const arenaOf = (cache: TransformerCache) => cache.views[0]!.arena
      const [data, want] = yield* Lease.scoped(arenaOf(empty))(Effect.gen(function* () {
        const { view } = yield* run(empty)
        const cache = yield* Effect.fromResult(TransformerCache.with(empty, 0, view))
        const written = yield* TransformerCache.toPure(cache)
        return [written, (yield* run(cache)).out] as const
      }))
      const again = yield* TransformerCache.fromPure(data)
      assert.notEqual(arenaOf(again), arenaOf(empty))
      assert.equal(arenaOf(again).layout.dtype, "bf16")
      const { out } = yield* Lease.scoped(arenaOf(again))(run(again))
      assert.deepEqual(out, want)
    })),
)
