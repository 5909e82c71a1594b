/** New tokens of a batch go to their pages by slices, with one dispatch, as the reference on the host says. */
import assert from "node:assert/strict"
import { Effect } from "effect"
import { Arena, Gpu, Layout, Lease, Pages, PageUtilities, Program, Recording } from "../mod.ts"

const [pageSize, numPages, headDim] = [4, 5, 3]

const layout = Layout.make({
  layers: 1,
  keyHeads: 1,
  keyDim: headDim,
  blockSize: pageSize,
  placement: "interleaved", // key and value heads by turns
})

/** Combined rows, another number for each element. */
const numbers = (tokens: number, from: number) =>
  Float32Array.from({ length: tokens * 2 * headDim }, (_, i) => from + i)

const rows = (tokens: number, data: Float32Array) => {
  const sizes = { tokens, combinedHeads: 2, headDim }
  return Gpu.upload("f32", "tokens combinedHeads headDim", sizes, data)
}

const program = Effect.scoped(Effect.gen(function* () {
  const positions = pageSize * numPages
  const arena = yield* Arena.make(yield* Effect.fromResult(layout), 2 * numPages)

  // Row 0 decodes one token, row 1 is cut off from its page's end, row 2 fills the last page of the pool.
  const mapping = {
    blockTables: [[2, 0, -1], [1, 3, -1], [4, -1, -1]],
    cachedLengths: [5, 2, 1],
    queryLengths: [1, 4, 3],
    ...{ numPages, pageSize, slicesPerProcessingPage: 4 },
  }
  const { sliceIndices, totalUpdateSlices } = yield* Effect.fromResult(
    PageUtilities.slotMappingToSlices(mapping),
  )
  for (const [i, name] of ["cache start", "new kv start", "length"].entries()) {
    console.log(`${name.padEnd(12)} ${Array.from(sliceIndices[i]!).join(" ")}`)
  }
  assert.deepEqual(sliceIndices.map((row) => [...Array.from(row)]), [
    [1, 6, 12, 17],
    [0, 1, 3, 5],
    [1, 2, 2, 3],
  ])

  const [before, tokens] = [numbers(positions, 0), numbers(8, 1000)]
  const [pool, newKv] = [yield* rows(positions, before), yield* rows(8, tokens)]
  yield* Lease.scoped(arena)(Effect.gen(function* () {
    const pages = yield* Effect.fromResult(PageUtilities.fromDense(arena, pool))
    yield* Program.run(Pages.realize(pages))
    const { next, dispatches } = yield* Program.run(Effect.gen(function* () {
      const next = yield* Effect.fromResult(
        PageUtilities.kvCacheUpdate(newKv, sliceIndices, pages, totalUpdateSlices, { pageSize }),
      )
      yield* Pages.realize(next)
      return { next, dispatches: (yield* Recording.Service).work.length }
    }))
    console.log(`${totalUpdateSlices} slices of 8 tokens: ${dispatches} dispatch`)
    assert.equal(dispatches, 1)

    const reference = yield* Effect.fromResult(PageUtilities.kvCacheUpdateReference(
      { shape: [8, 2, headDim], data: tokens },
      sliceIndices,
      { shape: [positions, 2, headDim], data: before },
      totalUpdateSlices,
      { pageSize },
    ))
    const dense = (some: Pages) =>
      Effect.flatMap(Program.run(PageUtilities.toDense(some)), Gpu.read)
    assert.deepEqual(yield* dense(next), reference.data)
    assert.deepEqual(yield* dense(pages), before) // the older pages are as they were
    console.log("the pages are the reference's, and those before are as they were")
  }))
}))

await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
