/** Rows of `PagedKvCache`: what appending and reading refuse, and what they cost. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Keep } from "../../lib/tensor/Recording.ts"
import { Arena, Gpu, PagedKvCache, Program, Recording } from "../../mod.ts"
import { storageOf } from "../cases/stored.ts"
import { near } from "../../testing/world/readings.ts"
import * as Shelf from "../models/shelf.ts"
import { allocated, appended, emptyOf, keysOf, rows, shelfOf, sizes } from "./paged.ts"
import { refuses, type Tag } from "./refused.ts"

test("PagedKvCache.appendKv() gives a cache that keeps its new rows when a run gives it back", () => {
  const shelf = shelfOf()
  const [keys, values] = [rows(1), rows(1)]
  const cache = PagedKvCache.appendKv(allocated(emptyOf(shelf), 0, 1, [2]), 0, keys, values)
  const kept = [...Result.getOrThrow(cache)[Keep]()].map(({ slot }) => slot)
  assert.deepEqual(kept, [keys.slot, values.slot])
  Shelf.end(shelf)
})

test("PagedKvCache.appendKv() refuses what the original broadcasts, casts or writes elsewhere", () => {
  const shelf = shelfOf()
  const cache = appended(allocated(emptyOf(shelf), 0, 3, [3]), 0, 3)
  const before = [cache.blockTable, cache.seqLengths, keysOf(shelf, cache)]
  const says = (
    sequence: number,
    keys: PagedKvCache.NewRows,
    values: PagedKvCache.NewRows,
    tag: Tag,
    message: string,
  ): void => refuses(PagedKvCache.appendKv(cache, sequence, keys, values), tag, message)
  says(2, rows(1), rows(1), "UnknownSequence", "find sequence 2: there are 2, from 0 on")
  const shape = (axis: string, of: string, expected: number, actual: number) =>
    `bind axis "${axis}" of ${of} to ${expected}: it is ${actual}`
  says(0, rows(2), rows(1), "ShapeMismatch", shape("tokens", "valuesNew", 2, 1))
  says(0, rows(1, 1), rows(1, 1), "ShapeMismatch", shape("numKvHeads", "keysNew", 2, 1))
  says(0, rows(1), rows(1, 2, 3), "ShapeMismatch", shape("headDim", "valuesNew", 2, 3))
  const flat = Recording.fresh("f32", "tokens numKvHeads headDim", [1, 4])
  says(0, flat, flat, "ShapeMismatch", shape("numKvHeads", "keysNew", 2, 4))
  says(
    0,
    rows(1, 2, 2, "f16"),
    rows(1),
    "DTypeMismatch",
    "use keysNew as f32: it is f16; Tensor.cast converts it",
  )
  const call = "call allocateBlocks for sequence"
  says(
    1,
    rows(1),
    rows(1),
    "CapacityExceeded",
    `grow the cache as it needs 1 tokens: its capacity is 0; ${call} 1 before`,
  )
  says(
    0,
    rows(2),
    rows(2),
    "CapacityExceeded",
    `grow the cache as it needs 5 tokens: its capacity is 4; ${call} 0 before`,
  )
  says(
    0,
    rows(6),
    rows(6),
    "BlockTableFull",
    "give sequence 0 3 blocks: its row of the block table has 2 cells; make the table wider or " +
      "end the sequence",
  )
  assert.deepEqual([cache.blockTable, cache.seqLengths, keysOf(shelf, cache)], before)
  assert.deepEqual(appended(cache, 1, 0).seqLengths, [3, 0])
  Shelf.end(shelf)
})

test("PagedKvCache reads refuse sequences and queries that are not there", () => {
  const shelf = shelfOf()
  const cache = appended(allocated(emptyOf(shelf), 0, 3, [3]), 0, 3)
  const q = (...shape: ReadonlyArray<number>) => {
    const data = new Float32Array(shape.reduce((n, m) => n * m, 1))
    return Recording.fresh("f32", "numQHeads tokens headDim", shape, data)
  }
  const fails = (
    effect: () => ReturnType<typeof PagedKvCache.pagedAttention>,
    tag: Tag,
    message: string,
  ): void => {
    const failure = Shelf.run(shelf, Effect.flip(Program.run(Effect.suspend(effect))))
    assert.equal(failure._tag, tag)
    assert.equal(failure.message, `Cannot ${message}`)
  }
  const unknown = "find sequence 5: there are 2, from 0 on"
  fails(() => PagedKvCache.pagedAttention(q(2, 1, 2), cache, 5), "UnknownSequence", unknown)
  refuses(
    Shelf.run(shelf, Effect.result(Program.run(PagedKvCache.gatherKv(cache, 5)))),
    "UnknownSequence",
    unknown,
  )
  refuses(
    Shelf.run(
      shelf,
      Effect.result(Program.run(Effect.suspend(() => {
        const query = Recording.fresh("f32", "tokens numQHeads headDim", [1, 2, 2])
        return PagedKvCache.pagedAttentionBatch(query, cache, [{ sequence: -1, queryLen: 1 }])
      }))),
    ),
    "UnknownSequence",
    "find sequence -1: there are 2, from 0 on",
  )
  fails(
    () => PagedKvCache.pagedAttention(q(3, 1, 2), cache, 0),
    "ShapeMismatch",
    'bind axis "numQHeads (a multiple)" of q to 4: it is 3',
  )
  fails(
    () => PagedKvCache.pagedAttention(q(2, 1, 3), cache, 0),
    "ShapeMismatch",
    'bind axis "headDim" of q to 2: it is 3',
  )
  fails(
    () => PagedKvCache.pagedAttention(q(2, 2), cache, 0),
    "ShapeMismatch",
    'bind axis "numQHeads tokens headDim (rank)" of query to 3: it is 2',
  )
  fails(
    () => PagedKvCache.pagedAttention(q(2, 4, 2), cache, 0, { mask: { causal: true } }),
    "InvalidArgument",
    "take 4 as queries of row 0: it must be at most 3, its tokens",
  )
  // Without a mask more queries than tokens are fine, and over nothing every mask gives zeros.
  for (
    const [sequence, mask] of [[0, undefined], [1, undefined], [1, { causal: true }]] as const
  ) {
    const out = Shelf.run(
      shelf,
      Effect.gen(function* () {
        const { out } = yield* Program.run(
          Effect.suspend(() =>
            PagedKvCache.pagedAttention(
              q(2, 4, 2),
              cache,
              sequence,
              mask === undefined ? {} : { mask },
            )
          ),
        )
        return [...yield* Gpu.read(out)]
      }),
    )
    // Queries of zeros see the mean of the values: rows 1 … 12 of three tokens.
    const mean = [[5, 6], [7, 8]].flatMap((head) => Array.from({ length: 4 }, () => head).flat())
    near("attention", out, sequence === 0 ? mean : mean.map(() => 0), 1e-6)
  }
  Shelf.end(shelf)
})

test("PagedKvCache.appendKv() across blocks takes one launch for keys and one for values", () => {
  const shelf = shelfOf({ blockSize: 1 })
  const wide = { numBlocks: 40, batchSize: 1, maxBlocksPerSeq: 40 }
  const empty = Result.getOrThrow(PagedKvCache.of(shelf.world.arena, wide))
  const { cache } = Result.getOrThrow(
    PagedKvCache.allocateBlocks(empty, { sequence: 0, numTokens: 40 }),
  )
  const launches = Shelf.run(
    shelf,
    Program.run(Effect.gen(function* () {
      const next = yield* Effect.fromResult(PagedKvCache.appendKv(cache, 0, rows(40), rows(40)))
      yield* PagedKvCache.realize(next)
      return (yield* Recording.Service).work.length
    })),
  )
  assert.equal(launches, 2)
  Shelf.end(shelf)
})

test("PagedKvCache rows of other caches and arenas stay apart", () => {
  const shelf = shelfOf()
  const other = Effect.runSync(
    Arena.make(shelf.world.arena.layout, 3).pipe(
      Effect.scoped,
      Effect.provideContext(shelf.world.context),
    ),
  )
  const cache = Result.getOrThrow(PagedKvCache.of(other, { numBlocks: 3, ...sizes }))
  const full = appended(allocated(cache, 0, 1, [0]), 0, 1)
  refuses(
    Shelf.run(shelf, Effect.result(Program.run(PagedKvCache.gatherKv(full, 0)))),
    "InvalidArgument",
    "take one of another arena as a cache: it must be a cache of the arena that the lease is of",
  )
  Shelf.end(shelf)
})

const int8 = storageOf("int8")

test(
  "PagedKvCache of int8 refuses floats unless it is told to quantise them",
  { skip: int8 === undefined && "no pools of int8 yet" },
  () => {
    const shelf = shelfOf(int8 === undefined ? {} : { dtype: int8 })
    const cache = allocated(emptyOf(shelf), 0, 3, [3])
    refuses(
      PagedKvCache.appendKv(cache, 0, rows(3), rows(3)),
      "DTypeMismatch",
      "use keysNew as int8: it is f32; { quantize: true } rounds it",
    )
    refuses(
      PagedKvCache.appendKv(cache, 0, rows(3), rows(3, 2, 2, "f16"), { quantize: true }),
      "DTypeMismatch",
      "use valuesNew as f32: it is f16; Tensor.cast converts it",
    )
    assert.deepEqual(keysOf(shelf, cache), [[], []])
    const next = PagedKvCache.appendKv(cache, 0, rows(3), rows(3), { quantize: true })
    const [keys] = keysOf(shelf, Result.getOrThrow(next))
    // Half a step of the widest row of a head, 12 / 127.
    near("keys", keys!, Array.from({ length: 12 }, (_, i) => i + 1), 12 / 127 / 2 + 1e-6)
    Shelf.end(shelf)
  },
)
