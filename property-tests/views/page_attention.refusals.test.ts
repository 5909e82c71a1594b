/** What `pageAttention` refuses. */
import { Effect } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { PageAttention, Program, Recording } from "../../mod.ts"
import * as Shelf from "../models/shelf.ts"
import * as World from "../../testing/world/world.ts"
import { both, one, optionsOf, shelfOf, tensorOf } from "../models/paged.ts"

test("pageAttention() refuses what it cannot do, and leaves pages as they were", () => {
  const { shelf, pool } = shelfOf(one)
  const query = (shape: ReadonlyArray<number>) =>
    Recording.fresh("f32", "numSeqs numHeads headDim", shape)
  const says = (
    message: string,
    hints: Partial<PageAttention.Options>,
    tensors: Partial<{ keyPages: PageAttention.PageTensor; valuePages: PageAttention.PageTensor }> =
      {},
  ): void => {
    const before = World.picture(shelf.world)
    const tried = Program.run(Effect.suspend(() =>
      PageAttention.pageAttention({
        ...optionsOf(one),
        keyPages: tensorOf(one, "keys", both[0]![0], NaN),
        valuePages: tensorOf(one, "values", both[0]![1], NaN),
        ...hints,
        ...tensors,
      })
    ))
    assert.equal(Shelf.run(shelf, Effect.flip(tried)).message, `Cannot ${message}`)
    assert.deepEqual(World.picture(shelf.world), before)
  }
  says('bind axis "numSeqs" of contextLens to 2: it is 1', { contextLens: [3] })
  says('bind axis "numSeqs" of blockTables to 2: it is 3', { blockTables: [[], [], []] })
  says("take -1 as contextLens[1]: it must be a whole number, at least 0", {
    contextLens: [3, -1],
  })
  says("take 2.5 as contextLens[0]: it must be a whole number, at least 0", {
    contextLens: [2.5, 1],
  })
  says("grow the cache as it needs 13 tokens: its capacity is 12", { contextLens: [3, 13] })
  says("take 9 as contextLens[1]: it must be at most 8, the maxContextLen given", {
    maxContextLen: 8,
  })
  says("take -1 as block 1 of 7 tokens: it must be a page from 0 to 4", {
    blockTables: [[3, -1], [0, 2, 4]],
  })
  says("take 5 as block 2 of 9 tokens: it must be a page from 0 to 4", {
    blockTables: [[3, 1], [0, 2, 5]],
  })
  says("take -1 as maxContextLen: it must be a whole number, at least 0", { maxContextLen: -1 })
  says("take -1 as numSplits: it must be a whole number, at least 0", { numSplits: -1 })
  says("take 1.5 as numSplits: it must be a whole number, at least 0", { numSplits: 1.5 })
  says("take 0 as pagesPerComputeBlock: it must be a whole number, at least 1", {
    pagesPerComputeBlock: 0,
  })
  says('take rows as megacoreMode: it must be "kv_head" or "batch"', {
    megacoreMode: "rows" as "batch",
  })
  says("take 1 as inlineSeqDim: it must be true or false", { inlineSeqDim: 1 as never })
  says("take low as maskValue: it must be a number", { maskValue: "low" as never })
  says("take 0 as slidingWindow: it must be a whole number, at least 1", { slidingWindow: 0 })
  says("take 0 as attnLogitsSoftCap: it must be a finite number above 0", { attnLogitsSoftCap: 0 })
  says("take NaN as attnScale: it must be a finite number", { attnScale: NaN })
  says('bind axis "headDim" of q to 8: it is 4', { query: query([2, 6, 4]) })
  says('bind axis "numQHeads (a multiple)" of q to 6: it is 5', { query: query([2, 5, 8]) })
  const fake = (axes: string, shape: ReadonlyArray<number>): PageAttention.PageTensor =>
    Recording.fresh("f32", axes as PageAttention.PageOrder, shape)
  says(
    'take slots heads pages dim as the axes of keyPages: it must be "pages heads slots dim" or ' +
      '"heads pages slots dim"',
    {},
    { keyPages: fake("slots heads pages dim", [4, 2, 5, 8]) },
  )
  says('bind axis "pages heads slots dim (rank)" of keyPages to 4: it is 3', {}, {
    keyPages: fake("pages heads slots dim", [5, 4, 8]),
  })
  says('bind axis "slots" of valuePages to 4: it is 3', {}, {
    valuePages: fake("pages heads slots dim", [5, 2, 3, 8]),
  })
  says(
    "use valuePages as f32: it is f16; Tensor.cast converts it",
    {},
    { valuePages: tensorOf({ ...one, dtype: "f16" }, "values", both[0]![1], 0) },
  )
  says(
    "take 4294967360 as the elements of keyPages: it must be at most 4294967296, " +
      "so that a 32-bit offset reaches each",
    {},
    { keyPages: fake("pages heads slots dim", [2 ** 26 + 1, 2, 4, 8]) },
  )
  const overPool = Program.run(
    Effect.suspend(() => PageAttention.pageAttention({ ...optionsOf(one), pages: pool })),
  )
  assert.equal(
    Shelf.run(shelf, Effect.flip(overPool)).message,
    "Cannot take 4 as tokens read of page 3: it must be at most 0, the rows written to it",
  )
  const elsewhere = Program.run(
    Effect.suspend(() => PageAttention.pageAttention({ ...optionsOf(one), pages: pool, layer: 1 })),
  )
  assert.equal(
    Shelf.run(shelf, Effect.flip(elsewhere)).message,
    "Cannot take 1 as layer: it must be a layer from 0 to 0",
  )
  Shelf.end(shelf)
})
