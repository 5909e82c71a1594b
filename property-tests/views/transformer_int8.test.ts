/** `Quantizer.int8`: each token of a transformer's cache is quantised once, and read where it lies. */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import {
  Gpu,
  Lease,
  Program,
  Quantizer,
  TransformerCache,
  TransformerCacheMetaData,
  TransformerCacheView,
} from "../../mod.ts"
import { everywhere } from "../device/everywhere.ts"
import { near } from "../../testing/world/readings.ts"
import { some } from "../models/transformer.ts"

const metadata = Result.getOrThrow(TransformerCacheMetaData.create({
  batchSize: 2,
  sequenceLength: 16,
  numHiddenLayers: 1,
  padTokenId: 0,
  keyHeads: 2,
  valueHeads: 1,
  keyDim: 8,
  valueDim: 6,
}))

const chunk = (tokens: number, seed: number) => ({
  key: some("batch tokens keyHeads keyDim", [2, tokens, 2, 8], seed),
  value: some("batch tokens valueHeads valueDim", [2, tokens, 1, 6], seed + 1),
})

const query = () => some("batch tokens numQHeads headDim", [2, 3, 4, 8], 5)

/** Keys, values and attention after two chunks, and the view with them. */
const read = (view: TransformerCacheView) =>
  Effect.gen(function* () {
    const made = yield* Program.run(Effect.gen(function* () {
      const dense = yield* TransformerCacheView.materialize(view)
      return { dense, ...yield* TransformerCacheView.attend(query(), view) }
    }))
    return {
      keys: yield* Gpu.read(made.dense.keys),
      values: yield* Gpu.read(made.dense.values),
      out: yield* Gpu.read(made.out),
    }
  })

const filled = (cache: TransformerCache) =>
  Effect.gen(function* () {
    let view = cache.views[0]!
    for (const seed of [1, 2, 3]) {
      const next = TransformerCacheView.concatenateToCache(view, {
        ...chunk(3, seed),
        quantizer: cache.views[0]!.quantizer,
      })
      view = (yield* Program.run(next)).view
    }
    return view
  })

everywhere(
  "Quantizer.int8 rounds a token once, whatever is written after it",
  () =>
    Effect.scoped(Effect.gen(function* () {
      const whole = yield* TransformerCache.initCache({ metadata, dtype: "f32" })
      const want = yield* Lease.scoped(whole.views[0]!.arena)(
        Effect.flatMap(filled(whole), read),
      )
      const cache = yield* TransformerCache.initCache({
        metadata,
        quantizer: Quantizer.int8,
        numBlocks: 6, // the first chunk is written twice, into rows of their own
      })
      const { arena, quantizer } = cache.views[0]!
      assert.deepEqual([arena.layout.dtype, quantizer.name], ["int8", "int8"])
      yield* Lease.scoped(arena)(Effect.gen(function* () {
        const first = yield* Program.run(
          TransformerCacheView.concatenateToCache(cache.views[0]!, chunk(3, 1)),
        )
        const early = yield* Gpu.read(first.keys)
        const view = yield* filled(cache)
        const got = yield* read(view)
        // Half a step of a row whose largest number is below 1.
        near("keys", got.keys, want.keys, 0.5 / 127 + 1e-6)
        near("values", got.values, want.values, 0.5 / 127 + 1e-6)
        near("attention", got.out, want.out, 0.03)
        assert.deepEqual(got.keys.subarray(0, 48), early.subarray(0, 48), "the first tokens' bits")
        const put = yield* Effect.fromResult(TransformerCache.with(cache, 0, view))
        const again = yield* TransformerCache.fromPure(yield* TransformerCache.toPure(put))
        assert.equal(again.views[0]!.quantizer, Quantizer.int8)
        const restored = yield* Lease.scoped(again.views[0]!.arena)(read(again.views[0]!))
        assert.deepEqual(restored, got, "bit for bit")
      }))
    })),
)
