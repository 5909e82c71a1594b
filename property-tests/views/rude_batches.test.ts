/** Caches of batches, before a rude caller. @module */
import { Effect } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  Arena,
  AttnMaskType,
  ContinuousBatchingKvCache as Batched,
  ContinuousBatchingKvCacheCollection as Collection,
  KvCache,
  Lease,
  Program,
  type Tensor,
  TransformerCache,
  TransformerCacheMetaData,
  TransformerCacheView,
} from "../../mod.ts"
import { rows, rude, run } from "./rude.ts"

test("transformer caches refuse whatever they are given wrong, and stay as they were", () =>
  run(Effect.gen(function* () {
    const options = {
      batchSize: 2,
      sequenceLength: 4,
      numHiddenLayers: 2,
      padTokenId: 0,
      keyHeads: 1,
      valueHeads: 1,
      keyDim: 2,
      valueDim: 2,
    }
    const metadata = yield* Effect.fromResult(TransformerCacheMetaData.create(options))
    const sliding = { maskType: AttnMaskType.SLIDING, size: 2 }
    const made = yield* TransformerCache.initCache({
      metadata,
      dtype: "f32",
      maskTypeDetails: { 1: sliding },
      blockSize: 2,
      numBlocks: 600,
    })
    const { arena } = made.views[0]!
    const lease = yield* Lease.make(arena)
    const chunk = {
      key: yield* rows("batch tokens keyHeads keyDim", 2, 2, 1, 2),
      value: yield* rows("batch tokens valueHeads valueDim", 2, 2, 1, 2),
    }
    const query = yield* rows("batch tokens numQHeads headDim", 2, 1, 2, 2)
    const view = yield* Effect.fromResult(TransformerCacheView.append(made.views[0]!, chunk))
    const cache = yield* Effect.fromResult(TransformerCache.with(made, 0, view))
    const before = `${cache}`
    const step = { ...chunk, query: { ...query, shape: [2, 2, 1, 2] } }
    const told = { starts: [0, 1], indexs: [2, 1], queryLengths: [1, 1], postpadded: true }
    yield* rude(lease, [
      ["create", TransformerCacheMetaData.create, { ...options, slidingWindow: 2 }],
      [
        "initCache",
        (o: typeof options, more: object) =>
          Effect.flatMap(
            Effect.fromResult(TransformerCacheMetaData.create(o)),
            (metadata) => Effect.scoped(TransformerCache.initCache({ metadata, ...more })),
          ),
        options,
        { starts: [0, 1], blockSize: 2, numBlocks: 20, maskTypeDetails: { 0: sliding } },
      ],
      ["init", TransformerCacheView.init, arena, { metadata, starts: [0, 1], layerIndex: 1 }],
      ["layoutOf", TransformerCacheView.layoutOf, metadata, { blockSize: 2 }],
      ["append", TransformerCacheView.append, view, chunk, told],
      ["concatenateToCache", TransformerCacheView.concatenateToCache, view, {
        ...step,
        cacheMetadata: told,
        mask: { window: { last: 2, sinks: 0 }, starts: [0, 0] },
      }],
      ["attend", TransformerCacheView.attend, query, view, { scale: 1, softCap: 1 }],
      ["visible", TransformerCacheView.visible, view, 2, {}],
      ["materialize", TransformerCacheView.materialize, view],
      ["at", TransformerCache.at, cache, 1],
      ["with", TransformerCache.with, cache, 0, view],
      ["insert", TransformerCache.insert, cache, cache, 0],
      ["insertStarts", TransformerCache.insertStarts, cache, [1], 1],
      ["insertIndex", TransformerCache.insertIndex, made, [0], 1],
      ["toPure", TransformerCache.toPure, cache],
    ])
    assert.equal(`${cache}`, before)
  })))

test("continuous batches refuse whatever they are given wrong, and stay as they were", () =>
  run(Effect.gen(function* () {
    const kvParams = { numHeads: 1, headSize: 2, isMla: false }
    const sizes = { kvParams, numBlocks: 3, numLayers: 2, maxSeqLen: 2, arenaBlocks: 30 }
    const batch = { lookupTable: [2, 0], cacheLengths: [1, 2], maxSeqLength: 1, maxCacheLength: 2 }
    const layout = yield* Effect.fromResult(Collection.layout(sizes))
    const lease = yield* Lease.make(yield* Arena.make(layout, 30))
    const { arena } = lease
    const blocks = yield* rows(
      "numBlocks kvDim numLayers maxSeqLen numHeads headSize",
      3,
      2,
      2,
      2,
      1,
      2,
    )
    const all = yield* Program.run(Collection.fromTensor(arena, blocks, batch))
    const view = yield* Effect.fromResult(Collection.getKeyCache(all, 1))
    const values = yield* Effect.fromResult(Collection.getValueCache(all, 1))
    const query = yield* rows("tokens numQHeads headDim", 2, 2, 2)
    const given = {
      keys: yield* rows("layers tokens keyHeads keyDim", 2, 1, 1, 2),
      values: yield* rows("layers tokens valueHeads valueDim", 2, 1, 1, 2),
    }
    const place = { bs: 0, head: 0, tok: 1, dim: 0 }
    const plan = yield* Effect.scoped(
      Lease.under(lease)(Program.run(Batched.createTmaTile(view, {
        tileM: 1,
        tileN: 2,
        swizzle: "none",
        isKMajor: true,
      }))),
    )
    yield* rude(lease, [
      ["layout", Collection.layout, sizes],
      [
        "make",
        (s: typeof sizes, b: typeof batch) => Effect.scoped(Collection.make({ ...s, ...b })),
        sizes,
        {
          ...batch,
          cacheLengths: [0, 0],
        },
      ],
      ["of", Collection.of, all.pages, batch],
      ["fromTensor", Collection.fromTensor, arena, blocks, batch],
      ["append", Collection.append, all, given, [1, 0]],
      ["getKeyCache", Collection.getKeyCache, all, 1],
      ["getValueCache", Collection.getValueCache, all, 1],
      ["attend", Collection.attend, all, 0, query, [1, 1], { scale: 1, softCap: 2 }],
      ["row", Collection.row, all, 1],
      ["withRow", Collection.withRow, all, 1, KvCache.empty(arena)],
      [
        "Batched.of",
        (layer: number) => Batched.of({ pages: all.pages, layer, kind: "keys" }, batch),
        1,
      ],
      ["cacheLength", Batched.cacheLength, view, 1],
      ["load", Batched.load, view, 2, place],
      ["store", Batched.store, view, place, [5]],
      ["sequence", Batched.sequence, view, 1],
      ["blockPagedPtr", Batched.blockPagedPtr, view, 1, place],
      ["createTmaTile", Batched.createTmaTile, view, {
        tileM: 1,
        tileN: 2,
        swizzle: "none",
        isKMajor: true,
      }],
      ["tileAt", Batched.tileAt, plan, { bs: 0, tok: 0, col: 0 }],
      ["rowIdx", Batched.rowIdx, view, 1, 1],
      ["colIdx", Batched.colIdx, view, 0],
      [
        "Batched.attend",
        (query: Tensor<"f32", "tokens numQHeads headDim">, queryLengths: Array<number>) =>
          Batched.attend({ query, queryLengths, keys: view, values }),
        query,
        [1, 1],
      ],
    ])
    assert.deepEqual(all.cacheLengths, [1, 2])
  })))
