/** Appending makes a new cache; every older one stays readable, and a fork is an assignment. */
import assert from "node:assert/strict"
import { Effect, Result } from "effect"
import { Arena, Gpu, KvCache, Layout, Lease, Program } from "../mod.ts"

const layout = Result.getOrThrow(
  Layout.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 4 }),
)

/** Rows whose keys and values are the numbers of `tokens`, twice. */
const rows = (tokens: ReadonlyArray<number>) => {
  const data = Float32Array.from(tokens.flatMap((token) => [token, token]))
  const sizes = { layers: 1, tokens: tokens.length, keyHeads: 1, keyDim: 2 }
  return Effect.all({
    keys: Gpu.upload("f32", "layers tokens keyHeads keyDim", sizes, data),
    values: Gpu.upload("f32", "layers tokens valueHeads valueDim", {
      layers: 1,
      tokens: tokens.length,
      valueHeads: 1,
      valueDim: 2,
    }, data),
  })
}

/** The tokens a cache holds, read back from the device. */
const tokens = (cache: KvCache.KvCache) =>
  Effect.scoped(Effect.gen(function* () {
    const { keys } = yield* Program.run(KvCache.gather(cache))
    return Array.from(yield* Gpu.read(keys)).filter((_, i) => i % 2 === 0)
  }))

const program = Effect.scoped(Effect.gen(function* () {
  const arena = yield* Arena.make(layout, 8)
  const [system, first, second] = yield* Effect.all([rows([1, 2, 3]), rows([4, 5]), rows([6])])

  // Pure: nothing happens on the device yet.
  const [prompt, left, right] = yield* Effect.fromResult(Result.gen(function* () {
    const prompt = yield* KvCache.append(KvCache.empty(arena), system)
    const left = yield* KvCache.append(prompt, first)
    const right = yield* KvCache.append(prompt, second) // a fork; prompt and left stay readable
    return [prompt, left, right] as const
  }))

  // Effects: a lease owns the blocks, one run places all three.
  yield* Lease.scoped(arena)(Effect.gen(function* () {
    yield* Program.run(KvCache.realize([prompt, left, right]))
    assert.deepEqual(yield* tokens(left), [1, 2, 3, 4, 5])
    assert.deepEqual(yield* tokens(right), [1, 2, 3, 6])
    assert.deepEqual(yield* tokens(prompt), [1, 2, 3])
    const [{ free, numBlocks }] = Arena.usage(arena) as [Arena.Usage]
    assert.equal(numBlocks - free, 3) // left continues in the prompt's block, right copied it
    console.log("prompt", yield* tokens(prompt))
    console.log("left  ", yield* tokens(left))
    console.log("right ", yield* tokens(right))
    console.log(`${numBlocks - free} blocks of ${numBlocks} in use`)
  }))
  assert.equal(Arena.usage(arena)[0]!.free, 8) // the lease is closed: every block is free
}))

await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
