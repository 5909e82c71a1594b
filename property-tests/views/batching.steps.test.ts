/** Batches that grow in place, and where their elements lie. */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  Arena,
  Attention,
  ContinuousBatchingKvCache as View,
  ContinuousBatchingKvCacheCollection as Collection,
  Gpu,
  type Layout,
  Lease,
  Pages,
  Program,
  Recording,
} from "../../mod.ts"
import { near } from "../../testing/world/readings.ts"
import * as Shelf from "../models/shelf.ts"
import { half, plain, rowsOf, start, tokenOf, tokens, verify, viewOf } from "../models/batching.ts"

test("append() in a linear chain takes no block beyond one a row, with values and without", async () => {
  for (const isMla of [false, true]) {
    const sizes = { ...plain, isMla }
    const scopedRun = Effect.scoped(Effect.gen(function* () {
      const { numHeads, headSize, ...rest } = sizes
      const empty = yield* Collection.make({
        ...rest,
        kvParams: { numHeads, headSize, isMla },
        arenaBlocks: 2, // as many as rows: a copy would need a third
        lookupTable: [2, 0],
        cacheLengths: [0, 0],
      })
      const { arena } = empty.pages
      yield* Lease.scoped(arena)(Effect.gen(function* () {
        let collection = empty
        for (let i = 0; i < sizes.maxSeqLen; i++) {
          const rows = rowsOf(sizes, tokens(sizes, 2 * i, 2))
          collection = yield* Effect.fromResult(Collection.append(collection, rows, [1, 1]))
          yield* Program.run(Pages.realize(collection.pages))
        }
        assert.equal(Arena.usage(arena)[0]!.free, 0)
        const view = yield* Effect.fromResult(Collection.getKeyCache(collection, 1))
        const read = yield* Program.run(View.sequence(view, 1))
        const want = Array.from(
          { length: 8 },
          (_, i) => half(sizes, tokenOf(sizes, 2 * i + 1), 1, "keys"),
        ).flat()
        near("sequence", yield* Gpu.read(read), want, 0)
      }))
    }))
    await Effect.runPromise(Effect.provide(scopedRun, Gpu.layerCpu()))
  }
})

test("step() adds tokens in place, as a model's layers write them", () => {
  const { shelf, empty } = start(plain, 2)
  const first = Result.getOrThrow(
    Collection.append(empty, rowsOf(plain, tokens(plain, 0, 3)), [1, 2]),
  )
  const made = tokens(plain, 50, 3)
  const stepped = Shelf.run(
    shelf,
    Program.run(
      Collection.step(first, [2, 1], (step) =>
        Effect.as(
          Effect.forEach([0, 1], (layer) => {
            const shape = [3, 2, 4]
            const rows = (kind: Layout.Kind) =>
              Float32Array.from(made.flatMap((token) => half(plain, token, layer, kind)))
            return Attention.attend(step, layer, {
              q: Recording.fresh("f32", "tokens numQHeads headDim", shape, rows("keys")),
              k: Recording.fresh("f32", "tokens keyHeads headDim", shape, rows("keys")),
              v: Recording.fresh("f32", "tokens valueHeads valueDim", shape, rows("values")),
            })
          }),
          { value: "done", kept: [2, 0] },
        )),
    ),
  )
  assert.equal(stepped.value, "done")
  assert.deepEqual(stepped.collection.cacheLengths, [3, 2])
  assert.equal(stepped.collection.maxSeqLength, 2)
  const blocks = [[], tokens(plain, 1, 2), [tokenOf(plain, 0), ...made.slice(0, 2)]]
  verify(shelf, plain, { collection: stepped.collection, blocks })
  assert.equal(Arena.usage(shelf.world.arena)[0]!.free, 198)
  Shelf.end(shelf)
})

test("append() through a view is the collection's, seen by the view", () => {
  const { shelf, empty } = start(plain, 2)
  const rows = rowsOf(plain, tokens(plain, 0, 3))
  const view = Result.getOrThrow(View.append(viewOf(empty, 1, "values"), rows, [2, 1]))
  assert.deepEqual([view.layer, view.kind, view.cacheLengths], [1, "values", [2, 1]])
  const blocks = [[], tokens(plain, 2, 1), tokens(plain, 0, 2)]
  const collection = Shelf.lasting(
    shelf,
    Effect.as(Pages.realize(view.collection.pages), view.collection),
  )
  verify(shelf, plain, { collection, blocks })
  const all = Program.run(View.blocks(viewOf(collection, 1, "values")))
  const wanted = blocks.map((block) => {
    const numbers = block.flatMap((token) => half(plain, token, 1, "values"))
    return [...numbers, ...new Array<number>(8 * 2 * 4 - numbers.length).fill(0)]
  })
  assert.deepEqual([...Shelf.run(shelf, Effect.flatMap(all, Gpu.read))], wanted.flat())
  const more = View.append(view, rowsOf(plain, tokens(plain, 9, 1)), [1, 0])
  const { maxContextLength, maxPromptLength } = View
  const longest = [maxPromptLength, maxContextLength].map((of) => of(Result.getOrThrow(more)))
  assert.deepEqual(longest, [1, 3])
  Shelf.end(shelf)
})

test("offsets by the caller's numbers are those of the fused buffer, whatever the ledger decides", () => {
  const { shelf, empty } = start(plain, 2)
  const collection = Result.getOrThrow(
    Collection.append(empty, rowsOf(plain, tokens(plain, 0, 6)), [3, 3]),
  )
  const view = viewOf(collection, 1, "values")
  const place = { bs: 0, tok: 1, head: 1, dim: 2 }
  const plan = Shelf.run(shelf, Program.run(View.blockPagedPtr(view, 2, place)))
  const plane = 8 * 2 * 4 // a layer's half of a block
  assert.deepEqual(view.blocksStride, [4 * plane, 8, 4, 1])
  assert.equal(plan.viewOffset, 2 * 4 * plane + 8 + 4 + 2)
  assert.equal(plan.poolOffset, plan.viewOffset + 3 * plane)
  assert.deepEqual([plan.shape, plan.strides], [[2, 2], [8, 1]])
  assert.equal(Result.getOrThrow(View.rowIdx(view, 0, 1)), 2 * 4 * 8 + 1)
  assert.equal(Result.getOrThrow(View.colIdx(view, 1)), 4)
  assert.equal(View.maxPromptLength(view), 3)
  assert.equal(View.maxContextLength(view), 3)
  Shelf.end(shelf)
})
