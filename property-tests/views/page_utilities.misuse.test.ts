/** What `kvCacheUpdate` and its reference refuse, and what they take. @module */
import { Effect, Result, type Scope } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Arena, Gpu, Layout, Lease, Pages, PageUtilities, Program, Recording } from "../../mod.ts"
import { floats } from "../kernels/values.ts"
import { near } from "../../testing/world/readings.ts"
import { axes, dense, poolOf } from "./combined.ts"
import { refuses } from "./refused.ts"

/** A pool of three pages of four tokens on the CPU, and what is tried on it. */
const tried = (
  work: (given: {
    readonly arena: Arena
    readonly pages: Pages
    readonly rows: (tokens: number, heads?: number, dim?: number) => PageUtilities.CombinedRows
  }) => void | Effect.Effect<void, unknown, Gpu | Lease | Scope.Scope>,
): Promise<void> => {
  const program = Effect.scoped(Effect.gen(function* () {
    const sizes = { pageSize: 4, numPages: 3, numKvHeads: 1, headDim: 2, dtype: "f32" } as const
    const arena = yield* poolOf(sizes)
    const rows = (tokens: number, heads = 2, dim = 2) =>
      Recording.fresh(
        "f32",
        axes,
        [tokens, heads, dim],
        floats(tokens, tokens * heads * dim),
      )
    yield* Lease.scoped(arena)(Effect.gen(function* () {
      const pages = yield* Effect.fromResult(PageUtilities.fromDense(arena, rows(12)))
      yield* Program.run(Pages.realize(pages))
      const before = yield* dense(pages)
      const usage = Arena.usage(arena)
      yield* work({ arena, pages, rows }) ?? Effect.void
      near("the pages", yield* dense(pages), before, 0)
      assert.deepEqual(Arena.usage(arena), usage)
    }))
  }))
  return Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
}

test("kvCacheUpdate() and its reference refuse alike, and leave the pages as they were", () =>
  tried(({ pages, rows }) => {
    const says = (
      message: string,
      slices: PageUtilities.SliceIndices,
      { tokens = 6, total = slices[0].length, ...options }:
        & PageUtilities.UpdateOptions
        & { readonly tokens?: number; readonly total?: number } = {},
    ): void => {
      const all = { pageSize: 4, ...options }
      const shape = [tokens, 2, 2] as const
      const host = (shape: PageUtilities.HostRows["shape"]) => ({
        shape,
        data: new Float32Array(shape[0] * shape[1] * shape[2]),
      })
      for (
        const result of [
          PageUtilities.kvCacheUpdate(rows(tokens), slices, pages, total, all),
          PageUtilities.kvCacheUpdateReference(host(shape), slices, host([12, 2, 2]), total, all),
        ]
      ) {
        refuses<unknown>(result, "InvalidArgument", `take ${message}`)
      }
    }
    says(
      "3 as sliceIndices[2][0]: it must be at most 2: what is left of the page of position 2",
      [[2], [0], [3]],
    )
    says("5 as sliceIndices[2][0]: it must be at most 4: the tokens of a page", [[0], [0], [5]])
    says("12 as sliceIndices[0][0]: it must be at most 10: the pool has 12 positions", [
      [12],
      [0],
      [2],
    ])
    says("5 as sliceIndices[1][1]: it must be at most 4: 6 tokens are given", [
      [0, 4],
      [0, 5],
      [1, 2],
    ])
    says("6 as sliceIndices[0][1]: it must be 7 or more: slice 0 writes the positions before", [
      [4, 6],
      [0, 3],
      [3, 1],
    ])
    says("6 as sliceIndices[0][0]: it must be 7 or more: slice 1 writes the positions before", [
      [6, 4],
      [3, 0],
      [1, 3],
    ])
    const any = "it must be a whole number, at least 0"
    says(`-2 as sliceIndices[0][0]: ${any}`, [[-2], [0], [2]])
    says(`-1 as sliceIndices[1][0]: ${any}`, [[0], [-1], [2]])
    says(`-1 as sliceIndices[2][0]: ${any}`, [[0], [0], [-1]])
    says(`0.5 as sliceIndices[0][0]: ${any}`, [[0.5], [0], [1]])
    const total = "as totalUpdateSlices: it must be a whole number from 0 to 1, the slices given"
    says(`2 ${total}`, [[0], [0], [1]], { total: 2 })
    says(`-1 ${total}`, [[0], [0], [1]], { total: -1 })
    says(`0.5 ${total}`, [[0], [0], [1]], { total: 0.5 })
    says("2 as columns of sliceIndices[1]: it must be 1, as many as row 0 has", [[0], [0, 1], [1]])
    const some = "it must be a whole number, at least 1"
    says(`0 as slicesPerProcessingPage: ${some}`, [[0], [0], [1]], { slicesPerProcessingPage: 0 })
    says(`0 as pageSize: ${some}`, [[0], [0], [1]], { pageSize: 0 })
  }))

test("kvCacheUpdate() copies a page once, however many slices write to it", () =>
  tried(({ arena, pages, rows }) => {
    const [{ free }] = Arena.usage(arena) as [Arena.Usage]
    const slices = [[5, 7, 1], [0, 1, 2], [1, 1, 1]] as const
    const options = { pageSize: 4 }
    const next = Result.getOrThrow(
      PageUtilities.kvCacheUpdate(rows(3), slices, pages, 3, options),
    )
    return Effect.gen(function* () {
      yield* Program.run(Pages.realize(next))
      assert.equal(free - Arena.usage(arena)[0]!.free, 2)
      yield* Lease.keep(Pages.caches(pages))
    })
  }))

test("kvCacheUpdate() takes padding whatever it holds, empty slices, and any number of them", () =>
  tried(({ pages, rows }) => {
    const { kvCacheUpdate } = PageUtilities
    const none = kvCacheUpdate(rows(1), [[99, -5], [NaN, 7], [1e9, 3]], pages, 0, { pageSize: 4 })
    assert.equal(Pages.at(Result.getOrThrow(none), 0), Pages.at(pages, 0))
    const empty = kvCacheUpdate(rows(1), [[4, 4, 12], [0, 1, 1], [1, 0, 0]], pages, 3, {
      pageSize: 4,
    })
    assert.equal(Pages.at(Result.getOrThrow(empty), 2), Pages.at(pages, 2))
  }))

test("kvCacheUpdate() and fromDense() refuse tensors and arenas that do not fit", () =>
  tried(({ arena, pages, rows }) => {
    const { fromDense, kvCacheUpdate, kvCacheUpdateReference } = PageUtilities
    const one = [[0], [0], [1]] as const
    const updated = (
      newKv: PageUtilities.CombinedRows,
      options: PageUtilities.UpdateOptions = { pageSize: 4 },
    ) => kvCacheUpdate(newKv, one, pages, 1, options)
    refuses(
      updated(rows(1, 4)),
      "ShapeMismatch",
      'bind axis "combinedHeads" of newKv to 2: it is 4',
    )
    refuses(updated(rows(1, 2, 3)), "ShapeMismatch", 'bind axis "headDim" of newKv to 2: it is 3')
    refuses(
      updated(Recording.fresh("f16", axes, [1, 2, 2])),
      "DTypeMismatch",
      "use rows.combined as f32: it is f16; Tensor.cast converts it",
    )
    refuses(
      updated(rows(1), {}),
      "InvalidArgument",
      "take 32 as pageSize: it must be 4, the tokens of these pages",
    )
    refuses(
      fromDense(arena, rows(5)),
      "InvalidArgument",
      "take 5 as positions of kvCache: it must be a multiple of 4, the tokens of a page, and not 0",
    )
    refuses(
      fromDense(arena, rows(0)),
      "InvalidArgument",
      "take 0 as positions of kvCache: it must be a multiple of 4, the tokens of a page, and not 0",
    )
    // A slot below that nobody wrote would be read.
    const bare = Result.getOrThrow(Pages.make(arena, 3))
    refuses(
      kvCacheUpdate(rows(1), [[2], [0], [1]], bare, 1, { pageSize: 4 }),
      "InvalidArgument",
      "take 2 as at: it must be a whole position from 0 (the first visible) to 0 (the length)",
    )
    const host = (
      shape: PageUtilities.HostRows["shape"],
      data = new Float32Array(shape[0] * shape[1] * shape[2]),
    ) => ({ shape, data })
    const referred = (newKv: PageUtilities.HostRows, kvCache: PageUtilities.HostRows) =>
      kvCacheUpdateReference(newKv, one, kvCache, 1, { pageSize: 4 })
    const pool = host([12, 2, 2])
    refuses(
      referred(host([1, 4, 2]), pool),
      "ShapeMismatch",
      'bind axis "combinedHeads" of newKv to 2: it is 4',
    )
    refuses(
      referred(host([1, 2, 2], new Float32Array(3)), pool),
      "ShapeMismatch",
      'bind axis "tokens combinedHeads headDim" of newKv to 4: it is 3',
    )
    refuses(
      referred({ ...host([1, 2, 2]), dtype: "f16" }, pool),
      "DTypeMismatch",
      "use newKv as f32: it is f16; Tensor.cast converts it",
    )
    refuses(
      referred(host([1, 2, 2]), host([5, 2, 2])),
      "InvalidArgument",
      "take 5 as positions of kvCache: it must be a multiple of 4, the tokens of a page, and not 0",
    )
  }))

test("kvCacheUpdate() refuses pages whose heads do not interleave, and those of several layers", () => {
  const program = Effect.scoped(Effect.gen(function* () {
    const sizes = { layers: 1, keyHeads: 1, keyDim: 2, blockSize: 4 }
    const make = (changes: Partial<Layout.Options>) =>
      Effect.flatMap(
        Effect.fromResult(Layout.make({ ...sizes, ...changes })),
        (layout) => Arena.make(layout, 2),
      )
    const rows = Recording.fresh("f32", axes, [4, 2, 2])
    refuses(
      PageUtilities.fromDense(yield* make({}), rows),
      "InvalidArgument",
      'take perLayer as the placement: it must be "interleaved", which combined rows are placed as',
    )
    refuses(
      PageUtilities.fromDense(yield* make({ layers: 2, placement: "interleaved" }), rows),
      "InvalidArgument",
      "take 2 as layers of the arena: it must be 1: a layer has pages of its own",
    )
  }))
  return Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
})
