/** A transformer's cache as a value: left padding, a sliding layer, an insert, a rollback, and JSON. */
import assert from "node:assert/strict"
import { Effect, Result } from "effect"
import {
  AttnMaskType,
  Gpu,
  Lease,
  Program,
  TransformerCache,
  TransformerCacheMetaData,
  TransformerCacheView,
  TransformerMetadata,
} from "../mod.ts"

const metadataOf = (batchSize: number) =>
  TransformerCacheMetaData.create({
    batchSize,
    sequenceLength: 16,
    numHiddenLayers: 2,
    padTokenId: 0,
    numHeads: 2,
    headDim: 4,
  })

/** Numbers that look random and are the same every time. */
const numbers = <const A extends string>(axes: A, shape: ReadonlyArray<number>, seed: number) => {
  const n = shape.reduce((product, size) => product * size, 1)
  const data = Float32Array.from({ length: n }, (_, i) => Math.sin(seed + 12.9898 * i))
  return Effect.map(Gpu.upload("f32", "n", { n }, data), (flat) => ({ ...flat, axes, shape }))
}

/** `tokens` new tokens through every layer; what the first query of the last layer sees in each row. */
const step = (cache: TransformerCache, tokens: number, seed: number) =>
  Effect.gen(function* () {
    let [next, seen] = [cache, [] as ReadonlyArray<ReadonlyArray<number>>]
    for (const [layer, view] of cache.views.entries()) {
      const { batchSize } = view!.metadata
      const shape = [batchSize, tokens, 2, 4]
      const query = yield* numbers("batch tokens numQHeads headDim", shape, seed)
      const key = yield* numbers("batch tokens keyHeads keyDim", shape, seed + 1)
      const value = yield* numbers("batch tokens valueHeads valueDim", shape, seed + 2)
      const made = yield* Program.run(Effect.gen(function* () {
        const written = yield* TransformerCacheView.concatenateToCache(view!, { query, key, value })
        const { mask } = written
        const { out } = yield* TransformerCacheView.attend(query, written.view, { mask })
        return { view: written.view, visible: written.visible!, out }
      }))
      assert.ok((yield* Gpu.read(made.out)).every(Number.isFinite))
      const { positions, shape: [, , most] } = made.visible
      const row = (i: number) => positions.subarray(i * tokens * most, (i * tokens + 1) * most)
      seen = Array.from({ length: batchSize }, (_, i) => [...row(i)].filter((p) => p >= 0))
      next = yield* Effect.fromResult(TransformerCache.with(next, layer, made.view))
    }
    return { cache: next, seen }
  })

const program = Effect.scoped(Effect.gen(function* () {
  const metadata = yield* Effect.fromResult(metadataOf(3))
  const prompts = [[0, 0, 7, 8, 9], [4, 5, 6, 7, 8], [0, 1, 2, 3, 4]]
  const { starts = [] } = Result.getOrThrow(TransformerMetadata.fromTokens(metadata, prompts))
  const maskTypeDetails = { 1: { maskType: AttnMaskType.SLIDING, size: 4 } }
  const options = { metadata, starts, maskTypeDetails, blockSize: 4 } // a fork copies one block
  const empty = yield* TransformerCache.initCache(options)
  const { arena } = empty.views[0]!
  yield* Lease.scoped(arena)(Effect.gen(function* () {
    const prefill = yield* step(empty, 5, 1)
    const decode = yield* step(prefill.cache, 1, 2)
    console.log(`${decode.cache}`)
    assert.deepEqual(decode.cache.views[0]!.indexs, [6, 6, 6])
    assert.deepEqual(decode.seen, [[2, 3, 4, 5], [2, 3, 4, 5], [2, 3, 4, 5]]) // the last four

    // A sequence that was read by itself takes the place of row 1; its blocks are shared.
    const alone = { metadata: yield* Effect.fromResult(metadataOf(1)), maskTypeDetails, arena }
    const other = yield* step(yield* TransformerCache.initCache(alone), 3, 5)
    const joined = yield* Program.run(TransformerCache.insert(decode.cache, other.cache, 1))
    const rolled = yield* Effect.fromResult(TransformerCache.insertIndex(joined, [4], 2))
    const { cache } = yield* step(rolled, 1, 6)
    console.log("lengths", cache.views[0]!.indexs, "starts", cache.views[0]!.starts)
    assert.deepEqual([cache.views[0]!.indexs, cache.views[0]!.starts], [[7, 4, 5], [2, 0, 1]])
    assert.deepEqual(decode.cache.views[0]!.indexs, [6, 6, 6]) // as it was

    const json = JSON.stringify(yield* TransformerCache.toPure(cache))
    const again = yield* TransformerCache.fromPure(JSON.parse(json))
    assert.equal(`${again}`, `${cache}`)
    console.log(`restored from ${json.length} characters of JSON`)
  }))
}))

await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
