/** Pages and views of pages, before a rude caller. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  Arena,
  Gpu,
  Interchange,
  KvCache,
  Layout,
  Lease,
  PageAttention,
  PagedKvCache,
  Pages,
  PageUtilities,
  Program,
} from "../../mod.ts"
import { rows, rude, run } from "./rude.ts"

test("paged caches refuse whatever they are given wrong, and stay as they were", () =>
  run(Effect.gen(function* () {
    const sizes = { batchSize: 2, maxBlocksPerSeq: 2, numBlocks: 6 }
    const empty = yield* PagedKvCache.init({
      ...sizes,
      blockSize: 2,
      numKvHeads: 2,
      headDim: 2,
      spareBlocks: 20,
    })
    const { arena } = empty.pages
    const lease = yield* Lease.make(arena)
    const k = yield* rows("tokens numKvHeads headDim", 3, 2, 2)
    const one = yield* rows("tokens numKvHeads headDim", 1, 2, 2)
    const both = { keys: { ...one, axes: "layers tokens keyHeads keyDim", shape: [1, 1, 2, 2] } }
    const written = { ...both, values: { ...both.keys, axes: "layers tokens valueHeads valueDim" } }
    const cache = yield* Effect.fromResult(Result.gen(function* () {
      const { cache } = yield* PagedKvCache.allocateBlocks(empty, { sequence: 0, numTokens: 4 })
      return yield* PagedKvCache.appendKv(cache, 0, k, k)
    }))
    const q = yield* rows("numQHeads tokens headDim", 4, 1, 2)
    const batch = yield* rows("tokens numQHeads headDim", 1, 4, 2)
    const seen = (cache: PagedKvCache) =>
      Effect.scoped(
        Lease.under(lease)(Effect.flatMap(
          Program.run(PagedKvCache.gatherKv(cache, 0)),
          ({ keys }) => Gpu.read(keys),
        )),
      )
    const before = yield* seen(cache)
    const blocks = [...cache.blockTable[0]!]
    yield* rude(lease, [
      ["of", PagedKvCache.of, arena, sizes],
      ["allocateBlocks", PagedKvCache.allocateBlocks, cache, {
        sequence: 1,
        numTokens: 3,
        freeBlockIds: [4, 5],
      }],
      ["appendKv", PagedKvCache.appendKv, cache, 0, one, one],
      ["gatherKv", PagedKvCache.gatherKv, cache, 0],
      ["truncate", PagedKvCache.truncate, cache, 0, 1],
      ["freeSequence", PagedKvCache.freeSequence, cache, 0],
      ["fromPages", PagedKvCache.fromPages, cache.pages, {
        blockTable: [blocks, [-1, -1]],
        seqLengths: [3, 0],
      }],
      ["pagedAttention", PagedKvCache.pagedAttention, q, cache, 0, {
        scale: 1,
        softCap: 1,
        mask: {
          causal: true,
          window: { last: 2, sinks: 0 },
          chunk: 4,
          chunkOffset: 0,
          starts: [0],
        },
      }],
      ["pagedAttentionBatch", PagedKvCache.pagedAttentionBatch, batch, cache, [
        { sequence: 0, queryLen: 1 },
      ]],
      ["realize", PagedKvCache.realize, cache],
      ["pools", PagedKvCache.pools, cache],
      ["Pages.make", Pages.make, arena, 3],
      ["Pages.at", (page: number) => Result.succeed(Pages.at(cache.pages, page)), 1],
      ["Pages.write", Pages.write, cache.pages, written, [
        { page: 5, offset: 0, from: 0, count: 1 },
      ]],
      ["Pages.gather", Pages.gather, cache.pages, blocks, 3],
      ["toCache", Interchange.toCache, { blocks, length: 3, pages: cache.pages }],
      [
        "toCache's blocks",
        (blocks: Array<number>, length: number) =>
          Interchange.toCache({ blocks, length, pages: cache.pages }),
        blocks,
        3,
      ],
      [
        "toPages",
        (blocks: Array<number>) =>
          Interchange.toPages(KvCache.empty(arena), { blocks, pages: cache.pages }),
        [1],
      ],
      [
        "pageAttention over pages",
        (contextLens: Array<number>, blockTables: Array<Array<number>>) =>
          PageAttention.pageAttention({
            query: { ...batch, axes: "numSeqs numHeads headDim" },
            contextLens,
            blockTables,
            pages: cache.pages,
          }),
        [3],
        [blocks],
      ],
    ])
    assert.deepEqual(yield* seen(cache), before)
    assert.deepEqual(cache.seqLengths, [3, 0])
  })))

test("page utilities and page attention refuse whatever they are given wrong", () =>
  run(Effect.gen(function* () {
    const layout = yield* Effect.fromResult(
      Layout.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 2, placement: "interleaved" }),
    )
    const lease = yield* Lease.make(yield* Arena.make(layout, 8))
    const { arena } = lease
    const pool = yield* rows("tokens combinedHeads headDim", 6, 2, 2)
    const newKv = yield* rows("tokens combinedHeads headDim", 2, 2, 2)
    const pages = yield* Effect.fromResult(PageUtilities.fromDense(arena, pool))
    const host = (tokens: number) => ({
      shape: [tokens, 2, 2],
      data: new Array(tokens * 4).fill(1),
    })
    const query = yield* rows("numSeqs numHeads headDim", 1, 2, 2)
    const keyPages = yield* rows("pages heads slots dim", 3, 1, 2, 2)
    const asked = {
      query,
      keyPages,
      valuePages: keyPages,
      contextLens: [3],
      blockTables: [[1, 0, -1]],
      attnScale: 1,
      maxContextLen: 4,
      numSplits: 2,
      maskValue: 0,
      attnLogitsSoftCap: 1,
      slidingWindow: 2,
      pagesPerComputeBlock: 1,
    }
    yield* rude(lease, [
      ["cdiv", PageUtilities.cdiv, 3, 2],
      ["slotMappingToSlices", PageUtilities.slotMappingToSlices, {
        blockTables: [[0, 1], [2]],
        cachedLengths: [1, 0],
        queryLengths: [2, 1],
        numPages: 3,
        pageSize: 2,
        slicesPerProcessingPage: 4,
      }],
      ["kvCacheUpdate", PageUtilities.kvCacheUpdate, newKv, [[1, 4], [0, 1], [1, 1]], pages, 2, {
        pageSize: 2,
        slicesPerProcessingPage: 8,
      }],
      [
        "kvCacheUpdateReference",
        PageUtilities.kvCacheUpdateReference,
        host(2),
        [[1], [0], [1]],
        host(6),
        1,
        {
          pageSize: 2,
        },
      ],
      ["fromDense", PageUtilities.fromDense, arena, pool],
      ["toDense", PageUtilities.toDense, pages],
      ["pageAttention", PageAttention.pageAttention, asked],
    ])
  })))
