/** Blocks of `PagedKvCache`: taken, refused, given back. @module */
import { Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Lease, PagedKvCache, Pages, Program } from "../../mod.ts"
import * as Shelf from "../models/shelf.ts"
import { allocated, appended, emptyOf, keysOf, shelfOf } from "./paged.ts"
import { refuses, type Tag } from "./refused.ts"

test("PagedKvCache.allocateBlocks() refuses what the original drops, wraps or aliases", () => {
  const shelf = shelfOf()
  const cache = appended(allocated(emptyOf(shelf), 0, 4, [3]), 0, 4)
  const before = [cache.blockTable, cache.seqLengths, keysOf(shelf, cache)]
  const says = (
    allocation: Partial<PagedKvCache.Allocation>,
    tag: Tag,
    message: string,
  ): void =>
    refuses(
      PagedKvCache.allocateBlocks(cache, { sequence: 1, numTokens: 4, ...allocation }),
      tag,
      message,
    )
  says({ sequence: 2 }, "UnknownSequence", "find sequence 2: there are 2, from 0 on")
  says({ sequence: -1 }, "UnknownSequence", "find sequence -1: there are 2, from 0 on")
  says({ sequence: 0.5 }, "UnknownSequence", "find sequence 0.5: there are 2, from 0 on")
  const whole = "a whole number, at least 0"
  says({ numTokens: -3 }, "InvalidArgument", `take -3 as numTokens: it must be ${whole}`)
  says({ numTokens: 1.5 }, "InvalidArgument", `take 1.5 as numTokens: it must be ${whole}`)
  says(
    { sequence: 0, numTokens: 5, freeBlockIds: [0, 1] },
    "BlockTableFull",
    "give sequence 0 3 blocks: its row of the block table has 2 cells; make the table wider or " +
      "end the sequence",
  )
  says(
    { numTokens: 5, freeBlockIds: [0] },
    "OutOfBlocks",
    "place rows as they need 2 more blocks of layer group 0: 1 free of 6; offer more ids or free " +
      "a sequence",
  )
  const range = "it must be a block from 0 to 5"
  says({ freeBlockIds: [6] }, "InvalidArgument", `take 6 as freeBlockIds[0]: ${range}`)
  says({ freeBlockIds: [-1] }, "InvalidArgument", `take -1 as freeBlockIds[0]: ${range}`)
  says({ freeBlockIds: [0.5] }, "InvalidArgument", `take 0.5 as freeBlockIds[0]: ${range}`)
  says(
    { numTokens: 8, freeBlockIds: [5, 5] },
    "DuplicateBlock",
    "take block 5: it belongs to freeBlockIds[0]; give a free block",
  )
  says(
    { freeBlockIds: [3] },
    "DuplicateBlock",
    "take block 3: it belongs to sequence 0; give a free block",
  )
  assert.deepEqual([cache.blockTable, cache.seqLengths, keysOf(shelf, cache)], before)
  // What is not needed is not looked at.
  assert.deepEqual(allocated(cache, 1, 4, [0, 3, 99, NaN]).blockTable, [[3, -1], [0, -1]])
  const small = appended(allocated(emptyOf(shelf, 2), 0, 4, [1]), 0, 4)
  refuses(
    PagedKvCache.allocateBlocks(small, { sequence: 1, numTokens: 8 }),
    "OutOfBlocks",
    "place rows as they need 2 more blocks of layer group 0: 1 free of 2; free a sequence or make " +
      "a larger cache",
  )
  Shelf.end(shelf)
})

test("PagedKvCache.allocateBlocks() takes the lowest blocks that nobody has, and takes them empty", () => {
  const shelf = shelfOf()
  const cache = appended(allocated(emptyOf(shelf), 0, 4, [1]), 0, 4)
  const next = PagedKvCache.allocateBlocks(cache, { sequence: 1, numTokens: 8 })
  assert.deepEqual(Result.getOrThrow(next).cache.blockTable, [[1, -1], [0, 2]])
  const tables = { blockTable: [[-1, -1]], seqLengths: [0] }
  const nobodys = Result.getOrThrow(PagedKvCache.fromPages(cache.pages, tables))
  assert.equal(Pages.at(nobodys.pages, 1).length, 4)
  assert.equal(Pages.at(allocated(nobodys, 0, 1, [1]).pages, 1).length, 0)
  Shelf.end(shelf)
})

test("PagedKvCache.allocateBlocks() asked twice takes only what is missing, and loses none", () => {
  const shelf = shelfOf()
  const once = PagedKvCache.allocateBlocks(emptyOf(shelf), { sequence: 1, numTokens: 3 })
  const { cache, consumed } = Result.getOrThrow(once)
  assert.deepEqual([consumed, cache.blockTable], [1, [[-1, -1], [0, -1]]])
  const again = PagedKvCache.allocateBlocks(cache, { sequence: 1, numTokens: 4 })
  assert.deepEqual(Result.getOrThrow(again), { cache, consumed: 0 })
  const more = Result.getOrThrow(
    PagedKvCache.allocateBlocks(cache, { sequence: 1, numTokens: 5, freeBlockIds: [4] }),
  )
  assert.deepEqual([more.consumed, more.cache.blockTable[1]], [1, [0, 4]])
  const long = appended(more.cache, 1, 8)
  assert.deepEqual(long.seqLengths, [0, 8])
  // The cache's own numbers are the lowest that nobody has, also those given back.
  const next = PagedKvCache.allocateBlocks(long, { sequence: 0, numTokens: 8 })
  assert.deepEqual(Result.getOrThrow(next).cache.blockTable, [[1, 2], [0, 4]])
  const { cache: freed } = Result.getOrThrow(PagedKvCache.freeSequence(long, 1))
  const reused = PagedKvCache.allocateBlocks(freed, { sequence: 0, numTokens: 8 })
  assert.deepEqual(Result.getOrThrow(reused).cache.blockTable, [[0, 1], [-1, -1]])
  Shelf.end(shelf)
})

test("PagedKvCache.truncate() gives back every block past the end, and refuses to grow", () => {
  const shelf = shelfOf()
  const reserved = allocated(emptyOf(shelf), 0, 8, [5, 2])
  const cache = appended(reserved, 0, 6)
  Shelf.run(shelf, Program.run(PagedKvCache.realize(cache)))
  const says = (length: number) =>
    refuses(
      PagedKvCache.truncate(cache, 0, length),
      "InvalidArgument",
      `take ${length} as length: it must be a whole number from 0 to 6, the tokens of the sequence`,
    )
  says(7)
  says(-1)
  says(2.5)
  refuses(
    PagedKvCache.freeSequence(cache, 3),
    "UnknownSequence",
    "find sequence 3: there are 2, from 0 on",
  )
  const { cache: short, freed } = Result.getOrThrow(PagedKvCache.truncate(cache, 0, 3))
  assert.deepEqual([freed, short.blockTable[0]], [[2], [5, -1]])
  // Blocks that were never written go back too.
  const { freed: unused } = Result.getOrThrow(PagedKvCache.truncate(reserved, 0, 0))
  assert.deepEqual(unused, [5, 2])
  const longer = appended(short, 0, 1)
  assert.deepEqual(keysOf(shelf, longer)[0], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2, 3, 4])
  assert.equal(keysOf(shelf, cache)[0]!.length, 24) // the older value reads as before
  Shelf.end(shelf)
})

test("PagedKvCache blocks that nothing kept sees are free for others", () => {
  const shelf = shelfOf()
  const { arena } = shelf.world
  const cache = appended(allocated(emptyOf(shelf), 0, 8, [0, 1]), 0, 8)
  const used = () => {
    const { numBlocks, numFree } = arena.ledgers[0]!
    return numBlocks - numFree
  }
  Shelf.run(shelf, Program.run(PagedKvCache.realize(cache)))
  const { cache: short } = Result.getOrThrow(PagedKvCache.truncate(cache, 0, 4))
  assert.equal(used(), 2)
  Shelf.run(shelf, Lease.keep(Pages.caches(short.pages)))
  assert.equal(used(), 1)
  Shelf.end(shelf)
})
