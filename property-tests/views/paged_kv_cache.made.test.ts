/** How a `PagedKvCache` is made, and what makes none. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { KvCache, type Layout, PagedKvCache, Pages, Recording } from "../../mod.ts"
import * as Shelf from "../models/shelf.ts"
import * as World from "../../testing/world/world.ts"
import { keysOf, shelfOf, sizes } from "./paged.ts"
import { refuses, type Tag } from "./refused.ts"

test("PagedKvCache.of() and init() refuse sizes and arenas that make no cache", () => {
  const shelf = shelfOf()
  const { arena } = shelf.world
  const of = (changes: Partial<PagedKvCache.Sizes>) =>
    PagedKvCache.of(arena, { numBlocks: 3, ...sizes, ...changes })
  const says = (name: string, value: number, need = "a whole number, at least 1") =>
    refuses(
      of({ [name]: value }),
      "InvalidArgument",
      `take ${value} as ${name}: it must be ${need}`,
    )
  says("numBlocks", 0)
  says("batchSize", -1)
  says("maxBlocksPerSeq", 1.5)
  says("numBlocks", 201, "at most 200, the blocks of the arena")
  assert.equal(Result.getOrThrow(PagedKvCache.of(arena, sizes)).numBlocks, 200)
  const other = (layout: Layout.Options, message: string) => {
    const shelf = Shelf.make(layout)
    refuses(PagedKvCache.of(shelf.world.arena, sizes), "InvalidArgument", message)
    Shelf.end(shelf)
  }
  other(
    { layers: 2, keyHeads: 1, keyDim: 2, blockSize: 4 },
    "take 2 as layers of the arena: it must be 1: a layer has a paged cache of its own",
  )
  other(
    { layers: 1, keyHeads: 1, keyDim: 2, valueDim: 3, blockSize: 4 },
    "take 1×2 keys, 1×3 values as heads and dims: it must be equal for keys and values",
  )
  const good = { numBlocks: 3, blockSize: 2, numKvHeads: 1, headDim: 2, ...sizes }
  const make = (changes: Partial<PagedKvCache.Options>) =>
    Effect.runSync(
      PagedKvCache.init({ ...good, ...changes }).pipe(
        Effect.map((cache) => [cache.pages.arena, cache] as const),
        Effect.result,
        Effect.scoped,
        Effect.provideContext(shelf.world.context),
      ),
    )
  for (const name of ["numBlocks", "blockSize", "numKvHeads", "headDim", "batchSize"] as const) {
    for (const value of [0, -1, 2.5, NaN]) {
      const need = "a whole number, at least 1"
      refuses(
        make({ [name]: value }),
        "InvalidArgument",
        `take ${value} as ${name}: it must be ${need}`,
      )
    }
  }
  refuses(
    make({ spareBlocks: -1 }),
    "InvalidArgument",
    "take -1 as spareBlocks: it must be a whole number, at least 0",
  )
  const [made, cache] = Result.getOrThrow(make({ spareBlocks: 4, dtype: "bf16" }))
  assert.equal(made.ledgers[0]!.numBlocks, 7)
  assert.equal(made.layout.dtype, "bf16")
  const { pages: _, owners: __, ...fields } = cache
  assert.deepEqual({ ...fields }, {
    ...{ [Recording.Keep]: cache[Recording.Keep], lowest: 0 },
    blockTable: [[-1, -1], [-1, -1]],
    seqLengths: [0, 0],
    ...good,
  })
  Shelf.end(shelf)
})

test("PagedKvCache.fromPages() is a view of pages that hold what its lengths promise", () => {
  const shelf = shelfOf()
  const { world } = shelf
  const empty = Result.getOrThrow(Pages.make(world.arena, 4))
  const given = World.uploaded(world, World.rows(world, 6))
  const pages = Result.getOrThrow(Pages.write(empty, given, [
    { page: 3, offset: 0, from: 0, count: 4 },
    { page: 1, offset: 0, from: 4, count: 2 },
  ]))
  const tables = { blockTable: [[3, 1], [-1, -1]], seqLengths: [6, 0] }
  const cache = Result.getOrThrow(PagedKvCache.fromPages(pages, tables))
  assert.equal(cache.pages, pages)
  const whole = Shelf.gather(
    shelf,
    Result.getOrThrow(KvCache.append(KvCache.empty(world.arena), given)),
  )
  assert.deepEqual(keysOf(shelf, cache)[0], [...whole[0]!])
  const { cache: more } = Result.getOrThrow(
    PagedKvCache.allocateBlocks(cache, { sequence: 1, numTokens: 1 }),
  )
  assert.deepEqual(more.blockTable[1], [0, -1])
  const says = (changes: Partial<PagedKvCache.Tables>, tag: Tag, message: string) =>
    refuses(PagedKvCache.fromPages(pages, { ...tables, ...changes }), tag, message)
  const wrong = (changes: Partial<PagedKvCache.Tables>, message: string) =>
    says(changes, "InvalidArgument", `take ${message}`)
  wrong({ blockTable: [] }, "0 as batchSize: it must be a whole number, at least 1")
  wrong({ blockTable: [[], []] }, "0 as maxBlocksPerSeq: it must be a whole number, at least 1")
  wrong(
    { blockTable: [[3, 1], [0]] },
    "1 as cells of blockTable[1]: it must be 2, as many as the first row has",
  )
  wrong(
    { blockTable: [[3, 1], [-1, -2]] },
    "-2 as blockTable[1][1]: it must be −1, as a cell before it is",
  )
  wrong(
    { blockTable: [[3, 4], [-1, -1]] },
    "4 as blockTable[0][1]: it must be a page from 0 to 3",
  )
  wrong(
    { blockTable: [[3, 1], [-1, 0]] },
    "0 as blockTable[1][1]: it must be −1, as a cell before it is",
  )
  wrong(
    { seqLengths: [6] },
    "1 as the number of seqLengths: it must be 2, one for each row of the block table",
  )
  wrong({ seqLengths: [6, -1] }, "-1 as seqLengths[1]: it must be a whole number, at least 0")
  wrong(
    { seqLengths: [7, 0] },
    "3 as tokens read of page 1: it must be at most 2, the rows written to it",
  )
  wrong(
    { blockTable: [[3, -1], [-1, -1]], seqLengths: [5, 0] },
    "-1 as block 1 of 5 tokens: it must be a page from 0 to 3",
  )
  says(
    { blockTable: [[3, 1], [3, -1]] },
    "DuplicateBlock",
    "take block 3: it belongs to sequence 0; give a free block",
  )
  Shelf.end(shelf)
})
