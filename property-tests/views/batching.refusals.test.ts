/** What batches refuse. */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  Attention,
  ContinuousBatchingKvCache as View,
  ContinuousBatchingKvCacheCollection as Collection,
  DuplicateBlock,
  KvCache,
  Pages,
  Program,
  Recording,
  UnknownSequence,
} from "../../mod.ts"
import * as Shelf from "../models/shelf.ts"
import * as World from "../../testing/world/world.ts"
import { plain, rowsOf, start, tokens, viewOf } from "../models/batching.ts"

test("a collection refuses what it cannot do, and leaves everything as it was", () => {
  const { shelf, empty } = start(plain, 2)
  const full = Result.getOrThrow(
    Collection.append(empty, rowsOf(plain, tokens(plain, 0, 6)), [2, 4]),
  )
  Shelf.run(shelf, Program.run(Pages.realize(full.pages)))
  const { pages } = full
  const before = World.picture(shelf.world)
  const error = (made: { readonly message: string }, message: string) => {
    assert.equal(made.message, `Cannot ${message}`)
    assert.deepEqual(World.picture(shelf.world), before)
  }
  const failed = <A, E extends { readonly message: string }>(
    made: Result.Result<A, E>,
    message: string,
  ) => error(Result.getOrThrow(Result.flip(made)), message)
  const of = (options: Partial<Collection.BatchOptions>, message: string) =>
    failed(Collection.of(pages, { lookupTable: [2, 1], cacheLengths: [2, 4], ...options }), message)
  of({ lookupTable: [3, 1] }, "take 3 as lookupTable[0]: it must be a page from 0 to 2")
  of({ lookupTable: [-1, 1] }, "take -1 as lookupTable[0]: it must be a page from 0 to 2")
  of({ lookupTable: [1] }, 'bind axis "batch" of cacheLengths to 1: it is 2')
  of(
    { cacheLengths: [3, 4] },
    "take 3 as cacheLengths[0]: it must be at most 2, the tokens that block 2 holds",
  )
  of({ cacheLengths: [9, 4] }, "grow the cache as it needs 9 tokens: its capacity is 8")
  of(
    { cacheLengths: [-1, 4] },
    "take -1 as cacheLengths[0]: it must be a whole number, at least 0",
  )
  of({ maxSeqLength: 9 }, "grow the cache as it needs 9 tokens: its capacity is 8")
  of(
    { maxSeqLength: 1.5 },
    "take 1.5 as maxSeqLength: it must be a whole number, at least 0",
  )
  of({ maxCacheLength: 9 }, "grow the cache as it needs 9 tokens: its capacity is 8")
  of(
    { maxCacheLength: 3 },
    "take 3 as maxCacheLength: it must be at least 4, the longest of cacheLengths",
  )
  const both = Collection.of(pages, { lookupTable: [2, 2], cacheLengths: [2, 2] })
  const none = KvCache.empty(shelf.world.arena)
  const replacing = Program.run(Collection.withRow(Result.getOrThrow(both), 0, none))
  assert.ok(Shelf.run(shelf, Effect.flip(replacing)) instanceof DuplicateBlock)
  const groups = [{ layers: [0], window: undefined }, { layers: [1], window: undefined }]
  const two = { layers: 2, keyHeads: 1, keyDim: 2, blockSize: 4, placement: "fused" } as const
  const other = Shelf.make({ ...two, groups })
  failed(
    Collection.of(Result.getOrThrow(Pages.make(other.world.arena, 1)), {
      lookupTable: [0],
      cacheLengths: [0],
    }),
    "use a cache whose number of layer groups is 2: 1 is needed",
  )
  Shelf.end(other)
  failed(Collection.getKeyCache(full, 2), "take 2 as layer: it must be a layer from 0 to 1")
  failed(Collection.getValueCache(full, -1), "take -1 as layer: it must be a layer from 0 to 1")

  const one = rowsOf(plain, tokens(plain, 50, 1))
  failed(
    Collection.append(full, one, [1]),
    'bind axis "batch" of queryLengths to 2: it is 1',
  )
  failed(
    Collection.append(full, one, [1, -1]),
    "take -1 as queryLengths[1]: it must be a whole number, at least 0",
  )
  failed(Collection.append(full, one, [1, 1]), 'bind axis "tokens" of rows to 2: it is 1')
  failed(
    Collection.append(full, one, [0, 5]),
    "grow the cache as it needs 9 tokens: its capacity is 8",
  )
  const twice = Result.getOrThrow(
    Collection.of(pages, { lookupTable: [1, 2, 1], cacheLengths: [4, 2, 1] }),
  )
  failed(
    Collection.append(twice, one, [0, 0, 1]),
    "take block 1: it belongs to row 0 of the batch as well; give a free block",
  )
  const taken = Result.getOrThrow(Result.flip(Collection.append(twice, one, [1, 0, 0])))
  assert.ok(taken instanceof DuplicateBlock)
  assert.deepEqual([taken.block, taken.owner], [1, "row 2 of the batch as well"])
  assert.ok(Result.isSuccess(Collection.append(twice, one, [0, 1, 0])))
  failed(
    Collection.append(full, {
      latent: Recording.fresh("f32", "layers tokens keyHeads keyDim", [2, 1, 2, 4]),
    }, [1, 0]),
    'take fused as the placement: it must be "latent", which keys alone are placed as',
  )

  const view = viewOf(full, 1, "values")
  const place = { bs: 0, head: 1, tok: 1, dim: 2 }
  const load = (at: Partial<View.Place>, width: number, message: string) =>
    error(
      Shelf.run(shelf, Effect.flip(Program.run(View.load(view, width, { ...place, ...at })))),
      message,
    )
  load({ bs: 2 }, 1, "find sequence 2: there are 2, from 0 on")
  load({ bs: -1 }, 1, "find sequence -1: there are 2, from 0 on")
  load({ head: 2 }, 1, "take 2 as head: it must be from 0 to 1")
  load({ tok: 8 }, 1, "take 8 as tok: it must be from 0 to 7")
  load({ tok: 2 }, 1, "take 2 as tok: it must be below 2, the tokens that block 2 holds")
  load({ dim: 4 }, 1, "take 4 as dim: it must be from 0 to 3")
  load(
    {},
    3,
    "take 3 as width: it must be a whole number from 1 to 2, what is left of the head from 2",
  )
  load(
    {},
    0,
    "take 0 as width: it must be a whole number from 1 to 2, what is left of the head from 2",
  )
  const store = (at: Partial<View.Place>, values: ReadonlyArray<number>, message: string) =>
    error(
      Shelf.run(shelf, Effect.flip(Program.run(View.store(view, { ...place, ...at }, values)))),
      message,
    )
  store({ tok: 3 }, [1], "take 3 as tok: it must be at most 2, the tokens that block 2 holds")
  store(
    { dim: 3 },
    [1, 2],
    "take 2 as width: it must be a whole number from 1 to 1, what is left of the head from 3",
  )
  error(
    Shelf.run(shelf, Effect.flip(Program.run(View.blockPagedPtr(view, 2, place)))),
    "take 2 as tileSize: it must be a whole number from 1 to 1, what is left from token 1 of the " +
      "2 that block 2 holds",
  )
  const tile = { tileM: 2, tileN: 4, swizzle: "none", isKMajor: true } as const
  const tma = (options: Partial<View.TileOptions>, message: string) =>
    error(
      Shelf.run(shelf, Effect.flip(Program.run(View.createTmaTile(view, { ...tile, ...options })))),
      message,
    )
  tma({ tileM: 9 }, "take 9 as tileM: it must be a whole number from 1 to 8, the tokens of a block")
  tma(
    { tileN: 9 },
    "take 9 as tileN: it must be a whole number from 1 to 8, the elements of a token",
  )
  tma(
    { swizzle: "16B" as "32B" },
    'take 16B as swizzle: it must be "none" or "32B" or "64B" or "128B"',
  )
  const plan = Shelf.run(shelf, Program.run(View.createTmaTile(view, tile)))
  failed(View.tileAt(plan, { bs: 0, tok: 1, col: 0 }), "take 1 as tok: it must be from 0 to 0")
  failed(View.tileAt(plan, { bs: 0, tok: 0, col: 5 }), "take 5 as col: it must be from 0 to 4")
  failed(View.tileAt(plan, { bs: 2, tok: 0, col: 0 }), "find sequence 2: there are 2, from 0 on")
  failed(View.rowIdx(view, 0, 8), "take 8 as tok: it must be from 0 to 7")
  failed(View.rowIdx(view, 2, 0), "find sequence 2: there are 2, from 0 on")
  failed(View.colIdx(view, 2), "take 2 as head: it must be from 0 to 1")
  assert.ok(Result.getOrThrow(Result.flip(View.cacheLength(view, 5))) instanceof UnknownSequence)
  failed(View.cacheLength(view, 5), "find sequence 5: there are 2, from 0 on")

  const query = Recording.fresh("f32", "tokens numQHeads headDim", [0, 2, 4])
  const attend = (options: Partial<View.AttendOptions>, message: string) => {
    const keys = viewOf(full, 1, "keys")
    const asked = { query, queryLengths: [0, 0], keys, values: view, ...options }
    error(Shelf.run(shelf, Effect.flip(Program.run(View.attend(asked)))), message)
  }
  attend({ keys: view }, "take a view of values as keys: it must be a view of keys")
  attend(
    { values: viewOf(full, 1, "keys") },
    "take a view of keys as values: it must be a view of values",
  )
  attend(
    { values: viewOf(full, 0, "values") },
    "take a view of layer 0 as values: it must be a view of layer 1",
  )
  attend(
    { values: viewOf(twice, 1, "values") },
    'bind axis "batch" of values to 2: it is 3',
  )
  attend(
    { values: viewOf(empty, 1, "values") },
    "take a view of other rows as values: it must be a view of the rows that keys has",
  )
  attend({ queryLengths: [0] }, 'bind axis "batch" of queryLengths to 2: it is 1')
  const { values: _, ...keysOnly } = {
    query,
    queryLengths: [0, 0],
    keys: viewOf(full, 1, "keys"),
    values: 0,
  }
  error(
    Shelf.run(shelf, Effect.flip(Program.run(View.attend(keysOnly)))),
    "take nothing as values: it must be a view of values",
  )
  Shelf.end(shelf)
})

test("a collection of keys alone has no values, takes no values, and takes no steps", () => {
  const sizes = { ...plain, isMla: true }
  const { shelf, empty } = start(sizes, 1)
  const before = World.picture(shelf.world)
  const message = <A, E extends { readonly message: string }>(made: Result.Result<A, E>) =>
    Result.getOrThrow(Result.flip(made)).message
  assert.equal(
    message(Collection.getValueCache(empty, 0)),
    "Cannot take values as the cache: it must be keys: with latent attention there is no buffer of " +
      "values",
  )
  assert.equal(
    message(Collection.append(empty, rowsOf(plain, tokens(plain, 0, 1)), [1])),
    'Cannot take latent as the placement: it must be another than "latent", which takes keys ' +
      "alone: `{ latent }`",
  )
  const wide = Recording.fresh("f32", "tokens numQHeads headDim", [1, 2, 4])
  const tried = Collection.step(empty, [1], (step) =>
    Effect.as(
      Attention.attend(step, 0, {
        q: wide,
        k: { ...wide, axes: "tokens keyHeads headDim" },
        v: { ...wide, axes: "tokens valueHeads valueDim" },
      }),
      { value: 0 },
    ))
  assert.equal(
    Shelf.run(shelf, Effect.flip(Program.run(tried))).message,
    'Cannot take latent as the placement: it must be another than "latent": rows that are keys ' +
      "alone are appended, not stepped",
  )
  assert.deepEqual(World.picture(shelf.world), before)
  Shelf.end(shelf)
})

test("a collection refuses sizes that are none, or whose offsets do not fit 32 bits", () => {
  const base = {
    kvParams: { numHeads: 8, headSize: 128, isMla: false },
    numBlocks: 64,
    numLayers: 32,
    maxSeqLen: 1024,
  }
  const message = (options: Partial<Collection.Sizes>) => {
    const made = Collection.layout({ ...base, ...options })
    return Result.getOrThrow(Result.flip(made)).message
  }
  assert.equal(
    message({ numBlocks: 63 }),
    "Cannot take 4362076160 as the elements of pool 0: it must be at most 4294967296, so that a " +
      "32-bit offset reaches each: use fewer blocks",
  )
  // With the block that every arena has besides, these are exactly 2³².
  assert.ok(Result.isSuccess(Collection.layout({ ...base, numBlocks: 62 })))
  assert.ok(Result.isSuccess(Collection.layout({
    ...base,
    kvParams: { ...base.kvParams, isMla: true },
    numBlocks: 126,
  })))
  assert.equal(
    message({ numLayers: 0 }),
    "Cannot take 0 as numLayers: it must be a whole number, at least 1",
  )
  assert.equal(
    message({ kvParams: { ...base.kvParams, headSize: 1.5 } }),
    "Cannot take 1.5 as headSize: it must be a whole number, at least 1",
  )
  assert.equal(
    message({ kvParams: { ...base.kvParams, isMla: true }, valueDim: 129 }),
    "Cannot take 8×128 keys, 8×129 values as heads and dims: it must be as many heads of values, " +
      "at most as wide, where values are part of the keys",
  )
  const shelf = Shelf.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 4 })
  const pages = Result.getOrThrow(Pages.make(shelf.world.arena, 2))
  assert.equal(
    Result.getOrThrow(Result.flip(Collection.of(pages, { lookupTable: [], cacheLengths: [] })))
      .message,
    'Cannot use a cache whose placement is "perLayer": "fused", or "latent" for keys alone, is needed',
  )
  Shelf.end(shelf)
})
