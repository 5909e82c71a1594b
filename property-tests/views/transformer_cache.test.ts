/** What calls of `TransformerCache` answer: masks, padding, inserts, printing, hints, launches and blocks. */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  type Attention,
  type AttnMaskDetail,
  AttnMaskType,
  Gpu,
  KvCache,
  Lease,
  Partition,
  Program,
  Quantizer,
  Recording,
  RuntimeMode,
  TransformerCache,
  type TransformerCacheMetaData,
  TransformerCacheView,
  TransformerMetadata,
  Window,
} from "../../mod.ts"
import * as Shelf from "../models/shelf.ts"
import { cacheOn, chunkOf, filled, metadataOf, shelfOf, some } from "../models/transformer.ts"

const { append, attend, concatenateToCache, visible } = TransformerCacheView

const lists = ({ shape: [batch, tokens, most], positions }: TransformerCacheView.Visible) =>
  Array.from(
    { length: batch * tokens },
    (_, i) => [...positions.subarray(i * most, (i + 1) * most)].filter((p) => p >= 0),
  )

/** One row's view with this mask, holding so many tokens. */
const viewWith = (
  tokens: number,
  maskingDetails: AttnMaskDetail | undefined,
  more: Partial<TransformerCacheMetaData.Options> = {},
) => {
  const metadata = metadataOf({ batchSize: 1, numHiddenLayers: 1, sequenceLength: 16, ...more })
  const shelf = shelfOf(metadata)
  const maskTypeDetails = maskingDetails && { 0: maskingDetails }
  const empty = cacheOn(shelf, metadata, { ...(maskTypeDetails && { maskTypeDetails }) })
  const [view] = filled(shelf, empty, tokens).views
  return { metadata, shelf, view: view! }
}

const seen = (
  view: TransformerCacheView,
  tokens: number,
  mask: Attention.Mask = {},
  metadata: TransformerMetadata = {},
) => lists(Result.getOrThrow(visible(view, tokens, mask, metadata)))

test("visible() follows each mask type, and size, chunks and offset act", () => {
  const { CHUNK, FULL, SLIDING } = AttnMaskType
  const cases: ReadonlyArray<[AttnMaskDetail | undefined, ReadonlyArray<ReadonlyArray<number>>]> = [
    [undefined, [[0, 1, 2, 3], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5]]],
    [{ maskType: FULL, size: 2 }, [[0, 1, 2, 3], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5]]],
    [{ maskType: SLIDING, size: 2 }, [[2, 3], [3, 4], [4, 5]]],
    [{ maskType: CHUNK, chunks: 4 }, [[0, 1, 2, 3], [4], [4, 5]]],
    [{ maskType: CHUNK, chunks: 4, offset: 1 }, [[1, 2, 3], [1, 2, 3, 4], [5]]],
    [{ maskType: CHUNK, chunks: 4, offset: 9, size: 2 }, [[2, 3], [3, 4], [5]]],
  ]
  for (const [detail, want] of cases) {
    const { shelf, view } = viewWith(6, detail)
    assert.deepEqual(seen(view, 3), want)
    Shelf.end(shelf)
  }
})

test("visible() and attend() join a call's mask with the layer's", () => {
  const { shelf, view } = viewWith(6, { maskType: AttnMaskType.SLIDING, size: 4 })
  assert.deepEqual(seen(view, 1, { window: Window.last(9) }), [[2, 3, 4, 5]])
  assert.deepEqual(seen(view, 1, { window: Window.last(2) }), [[4, 5]])
  assert.deepEqual(seen(view, 1, { chunk: 4 }), [[4, 5]])
  assert.deepEqual(seen(view, 1, { starts: [3] }), [[3, 4, 5]])
  assert.deepEqual(seen(view, 2, { segments: [[0, 0, 0, 1, 1, -1]] }), [[3, 4], []])
  assert.deepEqual(seen(view, 2, { causal: false }), [[1, 2, 3, 4, 5], [2, 3, 4, 5]])
  const full = viewWith(6, undefined)
  // Where positions do not count, there may be more queries than tokens.
  assert.deepEqual(seen(full.view, 7, { causal: false }), Array(7).fill([0, 1, 2, 3, 4, 5]))
  assert.deepEqual(seen(full.view, 1, { window: Window.last(2, { sinks: 1 }) }), [[0, 4, 5]])
  assert.deepEqual(
    seen(full.view, 3, { positions: [[8, -1, 2]] }),
    [[0, 1, 2, 3, 4, 5], [], [0, 1, 2]],
  )
  const query = () => some("batch tokens numQHeads headDim", [1, 3, 1, 2])
  const states = (mask: Attention.Mask) =>
    Shelf.run(
      full.shelf,
      Effect.flatMap(Program.run(attend(query(), full.view, { mask })), ({ out }) => Gpu.read(out)),
    )
  // Queries that stand where others stood see what those saw.
  const own = states({})
  assert.deepEqual(states({ positions: [[3, 4, 5]] }), own)
  const [, , , , last0, last1] = states({ positions: [[9, -1, 5]] })
  assert.deepEqual([last0, last1], [own[4], own[5]])
  assert.deepEqual([...states({ positions: [[9, -1, 5]] }).subarray(2, 4)], [0, 0])
  for (const end of [shelf, full.shelf]) Shelf.end(end)
})

test("TransformerCacheMetaData: updateCausalMask, createAttentionBias and slidingWindow act", () => {
  const open = viewWith(4, undefined, { updateCausalMask: false })
  assert.deepEqual(seen(open.view, 2), [[0, 1, 2, 3], [0, 1, 2, 3]])
  assert.deepEqual(seen(open.view, 2, { causal: true }), [[0, 1, 2], [0, 1, 2, 3]])
  const call = (one: typeof open) =>
    Shelf.run(
      one.shelf,
      Program.run(concatenateToCache(one.view, chunkOf(one.metadata, 2))),
    )
  assert.equal(call(open).mask.causal, false)
  assert.deepEqual(lists(call(open).visible!)[0], [0, 1, 2, 3, 4, 5])
  const silent = viewWith(4, undefined, { createAttentionBias: false })
  assert.equal(call(silent).visible, undefined)
  const slides = viewWith(4, undefined, { slidingWindow: 2 })
  assert.deepEqual(call(slides).maskingDetails, { maskType: "SLIDING", size: 2 })
  assert.deepEqual(call(slides).mask.window, Window.last(2))
  assert.deepEqual(lists(call(slides).visible!), [[3, 4], [4, 5]])
  const own = viewWith(4, { maskType: AttnMaskType.FULL }, { slidingWindow: 2 })
  assert.deepEqual(lists(call(own).visible!)[1], [0, 1, 2, 3, 4, 5])
  for (const { shelf } of [open, silent, slides, own]) Shelf.end(shelf)
})

test("bricks, modes and partitioning that divides change no result", () => {
  const metadata = metadataOf({ batchSize: 2, numHiddenLayers: 1 })
  const shelf = shelfOf(metadata)
  const answer = (
    detail: AttnMaskDetail,
    call: Partial<TransformerCacheView.Concatenation>,
  ) => {
    const view = cacheOn(shelf, metadata, { maskTypeDetails: { 0: detail } }).views[0]!
    const query = some("batch tokens numQHeads headDim", [2, 3, 1, 2], 5)
    const chunk = chunkOf(metadata, 3)
    return Shelf.run(
      shelf,
      Effect.gen(function* () {
        const [dense, states] = yield* Program.run(Effect.gen(function* () {
          const next = yield* concatenateToCache(view, { ...chunk, ...call, query })
          return [next, yield* attend(query, next.view, { mask: next.mask })] as const
        }))
        return [yield* Gpu.read(dense.keys), yield* Gpu.read(states.out)]
      }),
    )
  }
  const detail = { maskType: AttnMaskType.SLIDING, size: 2 }
  const plain = answer(detail, {})
  assert.deepEqual(answer({ ...detail, bricks: 7 }, {}), plain)
  const partitioning = { mesh: { dp: 2, fsdp: 1, tp: 1, sp: 4 }, table: Partition.usual }
  for (const mode of RuntimeMode.all) {
    const cacheMetadata = { postpadded: false }
    const quantizer = Quantizer.none
    const told = answer(detail, { mode, partitioning, cacheMetadata, quantizer })
    assert.deepEqual(told, plain)
  }
  Shelf.end(shelf)
})

test("TransformerMetadata: starts, indexs and postpadded act", () => {
  const metadata = metadataOf({ batchSize: 2, numHiddenLayers: 1, padTokenId: 9 })
  const shelf = shelfOf(metadata)
  const view = filled(shelf, cacheOn(shelf, metadata), 4).views[0]!
  const call = (cacheMetadata: TransformerMetadata) =>
    Shelf.run(
      shelf,
      Program.run(concatenateToCache(view, { ...chunkOf(metadata, 2, 3), cacheMetadata })),
    )
  const started = call({ starts: [1, 5] })
  assert.deepEqual(started.view.starts, [1, 5])
  assert.deepEqual(lists(started.visible!), [[1, 2, 3, 4], [1, 2, 3, 4, 5], [], [5]])
  const rewound = call({ indexs: [1, 4] })
  assert.deepEqual(rewound.view.indexs, [3, 6])
  assert.deepEqual(lists(rewound.visible!)[0], [0, 1])
  const told = Result.getOrThrow(
    TransformerMetadata.fromTokens(metadata, [[5, 9], [5, 6]], { postpadded: true }),
  )
  const padded = call(told)
  assert.deepEqual(padded.view.indexs, [5, 6])
  assert.deepEqual(lists(padded.visible!), [[0, 1, 2, 3, 4], [], [0, 1, 2, 3, 4], [
    0,
    1,
    2,
    3,
    4,
    5,
  ]])
  const query = () => some("batch tokens numQHeads headDim", [2, 2, 1, 2])
  const { mask } = padded
  const out = Shelf.run(
    shelf,
    Effect.flatMap(
      Program.run(attend(query(), padded.view, { mask })),
      (states) => Gpu.read(states.out),
    ),
  )
  assert.deepEqual([...out.subarray(2, 4)], [0, 0], "padding sees nothing")
  const again = Shelf.run(
    shelf,
    Effect.flatMap(
      Program.run(attend(query(), padded.view, { cacheMetadata: told })),
      (states) => Gpu.read(states.out),
    ),
  )
  assert.deepEqual(again, out)
  Shelf.end(shelf)
})

test("a batch is written by one launch for each half, and keeps few blocks where it slides", () => {
  const metadata = metadataOf({ batchSize: 3, numHiddenLayers: 1, sequenceLength: 64 })
  const shelf = shelfOf(metadata, { blockSize: 4 })
  const slides = { maskTypeDetails: { 0: { maskType: AttnMaskType.SLIDING, size: 8 } } }
  let cache = cacheOn(shelf, metadata, slides)
  const view = Result.getOrThrow(append(cache.views[0]!, chunkOf(metadata, 5)))
  const launches = Shelf.run(
    shelf,
    Program.run(Effect.gen(function* () {
      yield* KvCache.realize(view.rows)
      return (yield* Recording.Service).work.length
    })),
  )
  assert.equal(launches, 2)
  for (let i = 0; i < 12; i++) {
    cache = filled(shelf, cache, 5)
    Shelf.run(shelf, Lease.keep(TransformerCache.sequences(cache)))
    const { numBlocks, numFree } = shelf.world.arena.ledgers[0]!
    assert.ok(numBlocks - numFree <= 3 * 5, "a window, a chunk and what is left of a block, a row")
  }
  assert.deepEqual(cache.views[0]!.indexs, [60, 60, 60])
  Shelf.end(shelf)
})

test("views and caches print their shapes and layers, and know whether they are empty", () => {
  const metadata = metadataOf({ keyHeads: 2, valueDim: 3 })
  const shelf = shelfOf(metadata)
  const maskTypeDetails = { 1: { maskType: AttnMaskType.SLIDING, size: 4 } }
  const cache = cacheOn(shelf, metadata, { maskTypeDetails })
  const empty = Result.getOrThrow(TransformerCache.initEmpty(2))
  const some = Result.getOrThrow(TransformerCache.with(empty, 0, cache.views[0]!))
  assert.equal(
    `${cache}`,
    "TransformerCache(\n" +
      "  TransformerCacheView(key=[2, 8, 2, 2], value=[2, 8, 1, 3], layerIndex=0)\n" +
      "  TransformerCacheView(key=[2, 4, 2, 2], value=[2, 4, 1, 3], layerIndex=1)\n)",
  )
  assert.match(`${some}`, /layerIndex=0\)\n {2}none\n/)
  assert.equal(TransformerCacheView.show(cache.views[0]!), cache.views[0]!.toString())
  assert.equal(TransformerCache.show(cache), cache.toString())
  assert.equal(TransformerCacheView.isEmpty(empty.views[0]), true)
  assert.equal(TransformerCacheView.isEmpty(cache.views[0]), true)
  assert.equal(TransformerCacheView.isEmpty(filled(shelf, cache, 1).views[0]), false)
  assert.equal(TransformerCacheView.room(cache.views[1]!), 4)
  assert.equal(cache.views[1]!.maximumSequenceLength, 8)
  Shelf.end(shelf)
})
