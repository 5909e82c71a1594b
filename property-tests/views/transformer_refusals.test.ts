/** Every misuse of `TransformerCache` is refused in words, and all caches are as they were. */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  Attention,
  AttnMaskType,
  Gpu,
  Lease,
  Partition,
  Program,
  type Quantizer,
  Recording,
  type RuntimeMode,
  TransformerCache,
  TransformerCacheView,
  TransformerMetadata,
  Window,
} from "../../mod.ts"
import * as Shelf from "../models/shelf.ts"
import {
  cacheOn,
  chunkOf,
  filled,
  metadataOf,
  refuses,
  says,
  shelfOf,
  some,
} from "../models/transformer.ts"

const begin = (options: Partial<TransformerCache.CacheOptions> = {}) => {
  const metadata = metadataOf({ keyHeads: 2, valueHeads: 2 })
  const shelf = shelfOf(metadata)
  const cache = filled(shelf, cacheOn(shelf, metadata, options), 3)
  return { metadata, shelf, cache, view: cache.views[0]! }
}

test("concatenateToCache() refuses chunks that do not fit the view", () => {
  const { metadata, shelf, cache, view } = begin()
  const { concatenateToCache } = TransformerCacheView
  const chunk = chunkOf(metadata, 2)
  const refused = (
    call: Partial<TransformerCacheView.Concatenation>,
    tag: string,
    message: string,
  ) => refuses(shelf, cache, concatenateToCache(view, { ...chunk, ...call }), tag, message)
  const key = (...shape: ReadonlyArray<number>) => some("batch tokens keyHeads keyDim", shape)
  const shape = "ShapeMismatch"
  refused({ key: key(3, 2, 2, 2) }, shape, 'Cannot bind axis "batch" of key to 2: it is 3')
  refused({ key: key(2, 1, 2, 2) }, shape, 'Cannot bind axis "tokens" of value to 1: it is 2')
  refused({ key: key(2, 2, 1, 2) }, shape, 'Cannot bind axis "keyHeads" of key to 2: it is 1')
  refused({ key: key(2, 2, 2, 3) }, shape, 'Cannot bind axis "keyDim" of key to 2: it is 3')
  const value = some("batch tokens valueHeads valueDim", [2, 2, 2, 5])
  refused({ value }, shape, 'Cannot bind axis "valueDim" of value to 2: it is 5')
  const query = (...shape: ReadonlyArray<number>) => some("batch tokens numQHeads headDim", shape)
  refused({ query: query(2, 1, 2, 2) }, shape, 'Cannot bind axis "tokens" of query to 2: it is 1')
  refused({ query: query(2, 2, 2, 4) }, shape, 'Cannot bind axis "headDim" of query to 2: it is 4')
  refused(
    { query: query(2, 2, 3, 2) },
    shape,
    'Cannot bind axis "numQHeads (a multiple)" of query to 4: it is 3',
  )
  refuses(
    shelf,
    cache,
    concatenateToCache(view, chunkOf(metadata, 6)),
    "CapacityExceeded",
    "Cannot grow the cache as it needs 9 tokens: its capacity is 8",
  )
  const half = Recording.fresh(
    "f16",
    "batch tokens keyHeads keyDim",
    [2, 2, 2, 2],
    new Uint16Array(16),
  )
  refused(
    { key: half },
    "DTypeMismatch",
    "Cannot use key as f32: it is f16; Tensor.cast converts it",
  )
  refused(
    { mode: "sleep" as RuntimeMode },
    "InvalidArgument",
    "Cannot take sleep as mode: it must be one of train, prefill, decode, insert",
  )
  const other: Quantizer = { name: "other", storage: undefined }
  refused(
    { quantizer: other },
    "InvalidArgument",
    'Cannot take other as quantizer: it must be "none", which the view was made with',
  )
  refused(
    { partitioning: { mesh: { dp: 1, fsdp: 1, tp: 4, sp: 1 }, table: Partition.usual } },
    "InvalidArgument",
    "Cannot take 2 as the size of kvHead: it must be a multiple of 4, the parts of the mesh axes tp",
  )
  Shelf.end(shelf)
})

test("concatenateToCache() refuses metadata and masks that do not fit the rows", () => {
  const { metadata, shelf, cache, view } = begin({
    maskTypeDetails: { 0: { maskType: AttnMaskType.SLIDING, size: 4 } },
  })
  const chunk = chunkOf(metadata, 2)
  const refused = (
    call: Partial<TransformerCacheView.Concatenation>,
    message: string,
    of = view,
  ) =>
    refuses(
      shelf,
      cache,
      TransformerCacheView.concatenateToCache(of, { ...chunk, ...call }),
      "InvalidArgument",
      `Cannot take ${message}`,
    )
  const told = (cacheMetadata: TransformerMetadata) => ({ cacheMetadata })
  refused(told({ starts: [1] }), "1 as the number of starts: it must be 2, one for each row")
  refused(told({ starts: [0, -1] }), "-1 as starts[1]: it must be a whole number, at least 0")
  refused(
    told({ indexs: [3, 4] }),
    "4 as indexs[1]: it must be at most 3, the tokens that were written",
  )
  refused(told({ postpadded: true }), "true as postpadded: it must be given with queryLengths")
  refused(
    told({ queryLengths: [1, 1] }),
    "false as postpadded: it must be true where queryLengths are given",
  )
  refused(
    told({ postpadded: true, queryLengths: [1, 3] }),
    "3 as queryLengths: it must be at most 2, the new tokens of a row",
  )
  refused(
    { mask: { starts: [1] } },
    "1 as the number of starts: it must be 2, one for each row",
  )
  refused(
    { mask: { window: Window.last(2, { sinks: 1 }) } },
    "1 as window.sinks: it must be 0 in a layer that sees its last 4 tokens only",
  )
  refused(
    { mask: { positions: [[3, 4]] } },
    "1 as the number of lists of positions: it must be 2, one for each row",
  )
  refused(
    { mask: { positions: [[3, 4], [3]] } },
    "1 as the length of positions[1]: it must be 2, the queries of its row",
  )
  refused(
    { mask: { positions: [[3, 4], [3, -2]] } },
    "-2 as positions[1][1]: it must be a whole position from 0 on, or −1 (padding)",
  )
  refused(
    { mask: { chunkOffset: 1 } },
    "1 as chunkOffset: it must be given together with chunk",
  )
  const maskingDetails = { maskType: AttnMaskType.CHUNK, chunks: 4, offset: 1 }
  const chunked = Result.getOrThrow(
    TransformerCacheView.init(shelf.world.arena, { metadata, maskingDetails }),
  )
  refused(
    { mask: { chunk: 4 } },
    "4 as chunk: it must be the layer's own, 4 tokens from 1 on",
    chunked,
  )
  Shelf.end(shelf)
})

test("attend() is refused where a window's positions were let go", () => {
  const metadata = metadataOf({ sequenceLength: 16 })
  const shelf = shelfOf(metadata, { blockSize: 2 })
  const slides = { maskTypeDetails: { 0: { maskType: AttnMaskType.SLIDING, size: 4 } } }
  const empty = cacheOn(shelf, metadata, slides)
  const cache = filled(shelf, filled(shelf, empty, 10), 1)
  const [row] = cache.views[0]!.rows
  assert.equal(row!.starts[0], 6) // the block of position 7, the first that query 10 sees
  const query = (tokens: number) => some("batch tokens numQHeads headDim", [2, tokens, 1, 2])
  const asked = (of: TransformerCache, tokens: number) =>
    TransformerCacheView.attend(query(tokens), of.views[0]!)
  assert.ok(Shelf.run(shelf, Effect.as(Program.run(asked(cache, 1)), true)))
  refuses(
    shelf,
    cache,
    asked(cache, 5),
    "InvalidArgument",
    "Cannot take 6 as the first position kept: it must be at most 3, the first position that the window needs",
  )
  says(
    TransformerCache.insertIndex(cache, [5], 0),
    "InvalidArgument",
    "Cannot take 5 as length: it must be a whole position from 6 (the first visible) to 11 (the length)",
  )
  const rolled = Result.getOrThrow(TransformerCache.insertIndex(cache, [8, 8], 0))
  refuses(
    shelf,
    rolled,
    asked(rolled, 1),
    "InvalidArgument",
    "Cannot take 6 as the first position kept: it must be at most 4, the first position that the window needs",
  )
  Shelf.end(shelf)
})

test("append() refuses rows of another dtype, as it touches no device", () => {
  const metadata = metadataOf()
  const shelf = shelfOf(metadata, { dtype: "bf16" })
  const view = cacheOn(shelf, metadata).views[0]!
  says(
    TransformerCacheView.append(view, chunkOf(metadata, 1)),
    "DTypeMismatch",
    "Cannot use rows.keys as bf16: it is f32; Tensor.cast converts it",
  )
  Shelf.end(shelf)
})

test("fromTokens() refuses another batch", () => {
  says(
    TransformerMetadata.fromTokens(metadataOf(), [[1]]),
    "InvalidArgument",
    "Cannot take 1 as the number of token rows: it must be 2, the rows of the batch",
  )
})

test("attend() refuses queries of another batch or dim, and a lease that is closed", async () => {
  const { shelf, cache } = begin()
  const view = cache.views[0]!
  const asked = (...shape: ReadonlyArray<number>) =>
    TransformerCacheView.attend(some("batch tokens numQHeads headDim", shape), view)
  const shape = "ShapeMismatch"
  refuses(shelf, cache, asked(1, 1, 2, 2), shape, 'Cannot bind axis "batch" of query to 2: it is 1')
  refuses(
    shelf,
    cache,
    asked(2, 1, 3, 2),
    shape,
    'Cannot bind axis "numQHeads (a multiple)" of q to 4: it is 3',
  )
  Shelf.end(shelf)
  const why = await Effect.runPromise(
    Effect.scoped(Effect.gen(function* () {
      const made = yield* TransformerCache.initCache({ metadata: metadataOf(), dtype: "f32" })
      const lease = yield* Effect.scoped(Lease.make(made.views[0]!.arena))
      const read = Program.run(TransformerCacheView.key(made.views[0]!))
      return yield* Effect.flip(Lease.under(lease)(read))
    })).pipe(Effect.provide(Gpu.layerCpu())),
  )
  assert.equal(why._tag, "LeaseClosed")
  assert.equal(Attention.dense.length, 1)
})
