/** Two sequences in one pool of blocks: allocated, appended, attended to, forked and given back. */
import assert from "node:assert/strict"
import { Effect, Result } from "effect"
import { Arena, Attention, Gpu, Lease, PagedKvCache, Pages, Program } from "../mod.ts"

const [heads, dim, blockSize] = [2, 4, 4]

/** Numbers that look random and are the same every time. */
const numbers = (seed: number, count: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(seed + 12.9898 * i))

const rows = (tokens: number, seed: number) =>
  Gpu.upload(
    "f32",
    "tokens numKvHeads headDim",
    { tokens, numKvHeads: heads, headDim: dim },
    numbers(seed, tokens * heads * dim),
  )

const show = ({ blockTable, seqLengths }: PagedKvCache) =>
  blockTable.map((row, i) => `[${row.join(" ")}] holds ${seqLengths[i]}`).join(", ")

const program = Effect.scoped(Effect.gen(function* () {
  const empty = yield* PagedKvCache.init({
    numBlocks: 6,
    blockSize,
    numKvHeads: heads,
    headDim: dim,
    batchSize: 2,
    maxBlocksPerSeq: 3,
    spareBlocks: 1, // the fork below writes a block over that the older value still sees
  })
  const [k, v, more] = [yield* rows(6, 1), yield* rows(6, 2), yield* rows(2, 3)]

  // Pure: block tables are numbers on the host, rows wait to be written.
  const { cache, fork } = yield* Effect.fromResult(Result.gen(function* () {
    // The caller chooses blocks, or the cache takes the lowest free ones.
    const first = { sequence: 0, numTokens: 6, freeBlockIds: [4, 1, 3] }
    const { cache: one, consumed } = yield* PagedKvCache.allocateBlocks(empty, first)
    assert.equal(consumed, 2)
    const { cache: two } = yield* PagedKvCache.allocateBlocks(one, { sequence: 1, numTokens: 2 })
    const filled = yield* PagedKvCache.appendKv(two, 0, k, v)
    const cache = yield* PagedKvCache.appendKv(filled, 1, more, more)
    const { cache: shorter } = yield* PagedKvCache.truncate(cache, 0, 5) // a fork; `cache` stays
    const fork = yield* PagedKvCache.appendKv(shorter, 0, more, more)
    return { cache, fork }
  }))
  console.log(`cache: ${show(cache)}`)
  console.log(`fork:  ${show(fork)}`)
  assert.deepEqual(cache.blockTable, [[4, 1, -1], [0, -1, -1]])
  assert.deepEqual([cache.seqLengths, fork.seqLengths], [[6, 2], [7, 2]])

  yield* Lease.scoped(cache.pages.arena)(Effect.gen(function* () {
    yield* Program.run(PagedKvCache.realize(cache, fork))
    const { keys } = yield* Program.run(PagedKvCache.gatherKv(cache, 0))
    assert.deepEqual([...yield* Gpu.read(keys)], [...numbers(1, 6 * heads * dim)])

    // Four query heads over two key heads; the last of two queries stands at the last token.
    const q = numbers(4, 4 * 2 * dim)
    const sizes = { numQHeads: 4, tokens: 2, headDim: dim }
    const query = yield* Gpu.upload("f32", "numQHeads tokens headDim", sizes, q)
    const mask = { causal: true }
    const { out } = yield* Program.run(PagedKvCache.pagedAttention(query, cache, 0, { mask }))
    const tokensFirst = [0, 1].flatMap((t) =>
      [0, 1, 2, 3].flatMap((h) => [...q.subarray((2 * h + t) * dim, (2 * h + t + 1) * dim)])
    )
    const dense = Attention.dense({
      q: tokensFirst,
      ...{ k: numbers(1, 6 * heads * dim), v: numbers(2, 6 * heads * dim) },
      ...{ queryLen: 2, contextLen: 6, numQHeads: 4 },
      ...{ keyHeads: heads, valueHeads: heads, keyDim: dim, valueDim: dim },
    })
    const got = yield* Gpu.read(out)
    for (const [i, x] of got.entries()) {
      const [h, t] = [Math.floor(i / dim / 2), Math.floor(i / dim) % 2]
      assert.ok(Math.abs(x - dense.out[(4 * t + h) * dim + i % dim]!) < 1e-5)
    }

    // Blocks of a sequence that ends are free again once no value that is kept sees them.
    const { cache: rest, freed } = yield* Effect.fromResult(PagedKvCache.freeSequence(fork, 0))
    yield* Lease.keep(Pages.caches(rest.pages))
    const [{ free }] = Arena.usage(rest.pages.arena) as [Arena.Usage]
    console.log(`sequence 0 gave back blocks ${freed.join(" and ")}; ${free} of 7 are free`)
    assert.deepEqual([freed, free], [[4, 1], 6])
  }))
}))

await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
