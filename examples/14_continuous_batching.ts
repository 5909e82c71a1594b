/** A batch of sequences in one fused buffer, a block each: views of a layer, appends in place, older values. */
import assert from "node:assert/strict"
import { Effect } from "effect"
import {
  Arena,
  ContinuousBatchingKvCache,
  ContinuousBatchingKvCacheCollection as Collection,
  Gpu,
  Interchange,
  Lease,
  Pages,
  Program,
  Tensor,
} from "../mod.ts"

const [numLayers, numHeads, headSize] = [2, 2, 4]

/** New tokens of all layers: every element is the token's number, and a tenth more for each layer. */
const rows = (tokens: ReadonlyArray<number>) => {
  const data = Array.from(
    { length: numLayers },
    (_, layer) =>
      tokens.flatMap((token) => new Array<number>(numHeads * headSize).fill(token + layer / 10)),
  )
  const sizes = { layers: numLayers, tokens: tokens.length, keyHeads: numHeads, keyDim: headSize }
  const axes = "layers tokens keyHeads keyDim"
  return Effect.map(Gpu.upload("f32", axes, sizes, Float32Array.from(data.flat())), (keys) => ({
    keys,
    values: { ...keys, axes: "layers tokens valueHeads valueDim" as const },
  }))
}

const program = Effect.scoped(Effect.gen(function* () {
  const empty = yield* Collection.make({
    kvParams: { numHeads, headSize, isMla: false },
    numBlocks: 4,
    numLayers,
    maxSeqLen: 16,
    lookupTable: [3, 1], // row 0 of the batch is in block 3
    cacheLengths: [0, 0],
  })
  const { arena } = empty.pages
  yield* Lease.scoped(arena)(Effect.gen(function* () {
    // Two prompts, then a token each: every append goes on where its block ends.
    const [first, second] = [yield* rows([1, 2, 3, 11, 12]), yield* rows([4, 13])]
    const prompts = yield* Effect.fromResult(Collection.append(empty, first, [3, 2]))
    const next = yield* Effect.fromResult(Collection.append(prompts, second, [1, 1]))
    yield* Program.run(Pages.realize(next.pages))
    const keys = yield* Effect.fromResult(Collection.getKeyCache(next, 1))
    const values = yield* Effect.fromResult(Collection.getValueCache(next, 1))
    assert.deepEqual(keys.blocksStride, [2 * 2 * 16 * 8, 8, 4, 1])
    assert.equal(arena.ledgers[0]!.numBlocks - Arena.usage(arena)[0]!.free, 2)
    console.log("lengths", prompts.cacheLengths, "then", next.cacheLengths)

    const place = { bs: 1, head: 0, tok: 2 }
    const changed = yield* Program.run(
      ContinuousBatchingKvCache.store(keys, { ...place, dim: 1 }, [7, 8]),
    )
    const load = (view: ContinuousBatchingKvCache) =>
      Effect.flatMap(Program.run(ContinuousBatchingKvCache.load(view, 4, place)), Gpu.read)
    const text = (numbers: Float32Array) => Array.from(numbers, (x) => x.toFixed(1)).join(" ")
    assert.equal(text(yield* load(keys)), "13.1 13.1 13.1 13.1") // the older view is as it was
    assert.equal(text(yield* load(changed)), "13.1 7.0 8.0 13.1")
    console.log("stored ", text(yield* load(changed)))

    const { out } = yield* Program.run(Effect.gen(function* () {
      const sizes = { tokens: 2, numQHeads: 4, headDim: headSize }
      const query = yield* Tensor.constant(
        "f32",
        "tokens numQHeads headDim",
        sizes,
        new Float32Array(32),
      )
      return yield* ContinuousBatchingKvCache.attend({ query, keys, values, queryLengths: [1, 1] })
    }))
    const attended = yield* Gpu.read(out) // a query of zeros weighs all tokens alike
    assert.equal(text(attended.slice(0, 1)), "2.6")
    assert.equal(text(attended.slice(16, 17)), "12.1")
    console.log("attended", text(attended.slice(0, 1)), text(attended.slice(16, 17)))

    const row = yield* Effect.fromResult(Collection.row(next, 0))
    const { value, copied } = yield* Program.run(Interchange.toCache(row))
    assert.deepEqual([value.length, copied], [4, false]) // a sequence over the same block
    console.log(`row 0 as a cache of ${value.length} tokens, copied: ${copied}`)
  }))
}))

await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
