/** Rows, layers and arenas that are not theirs are refused in words, and all caches are as they were. */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { type AttnMaskDetail, AttnMaskType, Partition, TransformerCache } from "../../mod.ts"
import * as Shelf from "../models/shelf.ts"
import { cacheOn, filled, metadataOf, refuses, says, shelfOf } from "../models/transformer.ts"

const begin = (options: Partial<TransformerCache.CacheOptions> = {}) => {
  const metadata = metadataOf({ keyHeads: 2, valueHeads: 2 })
  const shelf = shelfOf(metadata)
  const cache = filled(shelf, cacheOn(shelf, metadata, options), 3)
  return { metadata, shelf, cache, view: cache.views[0]! }
}

test("insert() refuses rows that do not fit, wherever they come from", () => {
  const { metadata, shelf, cache } = begin()
  const one = metadataOf({ keyHeads: 2, valueHeads: 2, batchSize: 1 })
  const other = filled(shelf, cacheOn(shelf, one), 2)
  const { insert } = TransformerCache
  const refused = (
    from: TransformerCache,
    slot: number,
    tag: string,
    message: string,
    options?: TransformerCache.InsertOptions,
  ) => refuses(shelf, cache, insert(cache, from, slot, options), tag, message)
  const unknown = (n: number) => `Cannot find sequence ${n}: there are 2, from 0 on`
  refused(other, 2, "UnknownSequence", unknown(2))
  refused(other, -1, "UnknownSequence", unknown(-1))
  refused(other, 0.5, "UnknownSequence", unknown(0.5))
  refused(cache, 1, "UnknownSequence", unknown(2))
  const narrow = metadataOf()
  const thin = shelfOf(narrow)
  refused(
    cacheOn(thin, narrow),
    0,
    "ShapeMismatch",
    'Cannot bind axis "keyHeads" of other to 2: it is 1',
  )
  refused(
    Result.getOrThrow(TransformerCache.initEmpty(3)),
    0,
    "ShapeMismatch",
    'Cannot bind axis "layers" of other to 2: it is 3',
  )
  refused(
    Result.getOrThrow(TransformerCache.initEmpty(2)),
    0,
    "InvalidArgument",
    "Cannot take nothing as the view of layer 0 of other: it must be there",
  )
  const half = shelfOf(one, { dtype: "f16" })
  const converted = filled(half, cacheOn(half, one), 2)
  refused(
    converted,
    0,
    "DTypeMismatch",
    "Cannot use other as f32: it is f16; { cast: true } rounds it",
  )
  refused(
    converted,
    0,
    "InvalidArgument",
    "Cannot take nothing as lease: it must be given where other lies in another arena: " +
      "the one that holds it",
    { cast: true },
  )
  const long = metadataOf({ keyHeads: 2, valueHeads: 2, batchSize: 1, sequenceLength: 16 })
  const longer = shelfOf(long)
  refused(
    filled(longer, cacheOn(longer, long), 9),
    0,
    "CapacityExceeded",
    "Cannot grow the cache as it needs 9 tokens: its capacity is 8",
  )
  assert.equal(metadata.batchSize, 2)
  for (const end of [shelf, thin, half, longer]) Shelf.end(end)
})

test("insertStarts() and insertIndex() refuse what is not there", () => {
  const { shelf, cache } = begin()
  const { insertIndex, insertStarts } = TransformerCache
  const invalid = "InvalidArgument"
  const unknown = "Cannot find sequence 2: there are 2, from 0 on"
  says(insertStarts(cache, [1], 2), "UnknownSequence", unknown)
  says(insertStarts(cache, [1, 1], 1), "UnknownSequence", unknown)
  says(insertIndex(cache, [1, 1], 1), "UnknownSequence", unknown)
  says(
    insertStarts(cache, [-1], 0),
    invalid,
    "Cannot take -1 as starts[0]: it must be a whole number, at least 0",
  )
  says(
    insertStarts(cache, [9], 0),
    invalid,
    "Cannot take 9 as starts: it must be at most 8, the tokens of a row",
  )
  says(
    insertIndex(cache, [4], 0),
    invalid,
    "Cannot take 4 as index[0]: it must be at most 3, the tokens that were written",
  )
  says(
    insertIndex(cache, [9], 0),
    "CapacityExceeded",
    "Cannot grow the cache as it needs 9 tokens: its capacity is 8",
  )
  says(
    insertIndex(cache, [NaN], 0),
    invalid,
    "Cannot take NaN as index[0]: it must be a whole number, at least 0",
  )
  const empty = Result.getOrThrow(TransformerCache.initEmpty(1))
  says(
    insertIndex(empty, [0], 0),
    invalid,
    "Cannot take nothing as the view of layer 0: it must be there",
  )
  Shelf.end(shelf)
})

test("initCache(), at() and with() refuse layers and arenas that are not theirs", () => {
  const { metadata, shelf, cache } = begin()
  const { at, initCache, initEmpty, with: put } = TransformerCache
  const invalid = "InvalidArgument"
  says(at(cache, 2), invalid, "Cannot take 2 as layerIndex: it must be a layer from 0 to 1")
  const empty = Result.getOrThrow(initEmpty(2))
  says(
    at(empty, 0),
    invalid,
    "Cannot take nothing as the view of layer 0: it must be there: TransformerCache.with puts it in place",
  )
  says(
    put(cache, 1, cache.views[0]!),
    invalid,
    "Cannot take 0 as the view's layerIndex: it must be 1, where it is put",
  )
  says(
    initEmpty(0),
    invalid,
    "Cannot take 0 as numHiddenLayers: it must be a whole number, at least 1",
  )
  const fails = (options: Partial<TransformerCache.CacheOptions>, message: string) => {
    const made = Effect.scoped(initCache({ metadata, ...options }))
    const why = Effect.runSync(Effect.provideContext(Effect.flip(made), shelf.world.context))
    assert.equal(why.message, message)
  }
  const full: AttnMaskDetail = { maskType: AttnMaskType.FULL }
  fails(
    { maskTypeDetails: { 2: full } },
    "Cannot take 2 as layerIndex: it must be a layer from 0 to 1",
  )
  fails(
    { maskTypeDetails: { 1: { maskType: AttnMaskType.SLIDING } } },
    "Cannot take nothing as size: it must be a whole number, at least 1",
  )
  fails({ starts: [0] }, "Cannot take 1 as the number of starts: it must be 2, one for each row")
  fails({ starts: [0, 9] }, "Cannot take 9 as starts: it must be at most 8, the tokens of a row")
  fails({ blockSize: 0 }, "Cannot take 0 as blockSize: it must be a whole number, at least 1")
  fails({ numBlocks: 0 }, "Cannot take 0 as numBlocks: it must be a whole number above 0")
  fails(
    { partitioning: { mesh: { dp: 4, fsdp: 1, tp: 1, sp: 1 }, table: Partition.usual } },
    "Cannot take 2 as the size of batch: it must be a multiple of 4, the parts of the mesh axes fsdp, dp",
  )
  const { arena } = shelf.world
  fails(
    { metadata: metadataOf(), arena },
    "Cannot use a cache whose keyHeads is 2: 1 is needed",
  )
  fails(
    { quantizer: { name: "half", storage: "f16" }, arena },
    "Cannot use a cache whose dtype is f32: f16 is needed",
  )
  Shelf.end(shelf)
})
