/** New tokens written into pages whose keys and values interleave. @module */
import { Effect, Result } from "effect"
import type { Arena } from "../../cache/Arena.ts"
import type { Needs } from "../../cache/Flight.ts"
import * as Pages from "../../cache/Pages.ts"
import type { RealizeError } from "../../cache/Realize.ts"
import type { Combined } from "../../cache/value.ts"
import type { WriteError } from "../../cache/write.ts"
import { InvalidArgument, type ShapeMismatch } from "../../errors.ts"
import { concat } from "../../tensor/arrange.ts"
import * as Shape from "../../tensor/Shape.ts"
import type { Tensor } from "../../tensor/value.ts"
import { wholeError } from "../whole.ts"
import { runsOf, type SliceIndices } from "./slices.ts"

/** Keys and values of tokens, key head h at 2h and value head h at 2h + 1. */
export type CombinedRows = Tensor<Combined["combined"]["dtype"], "tokens combinedHeads headDim">

/** How an update is told of pages, and how it is scheduled. */
export interface UpdateOptions {
  /** Tokens of a page: what the pages have. Default 32. */
  readonly pageSize?: number
  /**
   * A hint that changes nothing, at least 1: all slices go with one launch, and their number need be no multiple of
   * it. Default 8.
   */
  readonly slicesPerProcessingPage?: number
}

/** What is wrong with the options. Internal. */
export const optionsError = (
  { pageSize = 32, slicesPerProcessingPage = 8 }: UpdateOptions,
): InvalidArgument | undefined => wholeError({ pageSize, slicesPerProcessingPage }, 1)

/** Rows as the arena takes them, where there is one layer. */
const combinedOf = (
  { layout: { layers, keyHeads, keyDim } }: Arena,
  tensor: string,
  rows: CombinedRows,
): Result.Result<Combined, InvalidArgument | ShapeMismatch> => {
  if (layers !== 1) {
    const need = "1: a layer has pages of its own"
    return Result.fail(new InvalidArgument({ name: "layers of the arena", value: layers, need }))
  }
  const [tokens = 0] = rows.shape
  const sizes = { tokens, combinedHeads: 2 * keyHeads, headDim: keyDim }
  const bad = Shape.sizesError(tensor, rows.shape, sizes)
  if (bad !== undefined) return Result.fail(bad)
  const shape = [1, tokens, 2 * keyHeads, keyDim]
  return Result.succeed({ combined: { ...rows, axes: "layers tokens combinedHeads dim", shape } })
}

/**
 * The pages with slices of `newKv` `[tokens, 2 · numKvHeads, headDim]` written into them; older pages stay as they
 * are. Pure: realising it takes one dispatch for any number of slices and any head dim (one more widens 16-bit rows).
 * Pages are `interleaved`, of one layer, and store what `newKv` is stored in. Columns of `sliceIndices` from
 * `totalUpdateSlices` on are padding, whatever they hold; slices may come in any order.
 *
 * - fails with `ShapeMismatch`, `DTypeMismatch`, or `InvalidArgument`: a slice that leaves its page, the pool or the
 *   tokens, two slices that write one position, a slot below a slice that nobody wrote, `pageSize` that is not the
 *   pages'
 * - O(slices) on the host; a page that is not written at its fill mark is copied in the same dispatch
 *
 * Source: EasyDeL, `kv_cache_update`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { Effect, Result } from "effect"
 * import { Arena, Gpu, Layout, Lease, PageUtilities, Program } from "@kvasir/kvasir"
 *
 * const program = Effect.scoped(Effect.gen(function* () {
 *   const sizes = { layers: 1, keyHeads: 1, keyDim: 1, blockSize: 2 }
 *   const layout = yield* Effect.fromResult(Layout.make({ ...sizes, placement: "interleaved" }))
 *   const arena = yield* Arena.make(layout, 4)
 *   const rows = (...data: ReadonlyArray<number>) =>
 *     Gpu.upload("f32", "tokens combinedHeads headDim", {
 *       tokens: data.length / 2,
 *       combinedHeads: 2,
 *       headDim: 1,
 *     }, Float32Array.from(data))
 *   const [pool, newKv] = [yield* rows(1, 1, 2, 2, 3, 3, 4, 4), yield* rows(9, -9)]
 *   const pages = yield* Effect.fromResult(Result.gen(function* () {
 *     const pages = yield* PageUtilities.fromDense(arena, pool)
 *     const last = [[3], [0], [1]] as const // the last position of the pool
 *     return yield* PageUtilities.kvCacheUpdate(newKv, last, pages, 1, { pageSize: 2 })
 *   }))
 *   yield* Lease.scoped(arena)(Effect.gen(function* () {
 *     const dense = yield* Program.run(PageUtilities.toDense(pages))
 *     assert.deepEqual([...yield* Gpu.read(dense)], [1, 1, 2, 2, 3, 3, 9, -9])
 *   }))
 * }))
 * await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
 * ```
 */
export const kvCacheUpdate = (
  newKv: CombinedRows,
  sliceIndices: SliceIndices,
  pages: Pages.Pages,
  totalUpdateSlices: number,
  options: UpdateOptions = {},
): Result.Result<Pages.Pages, WriteError> =>
  Result.gen(function* () {
    const { arena, numPages } = pages
    const { pageSize = 32 } = options
    const bad = optionsError(options)
    if (bad !== undefined) return yield* Result.fail(bad)
    if (pageSize !== arena.layout.blockSize) {
      const need = `${arena.layout.blockSize}, the tokens of these pages`
      return yield* Result.fail(new InvalidArgument({ name: "pageSize", value: pageSize, need }))
    }
    const rows = yield* combinedOf(arena, "newKv", newKv)
    const bounds = { tokens: newKv.shape[0] ?? 0, pageSize, numPages }
    return yield* Pages.write(
      pages,
      rows,
      yield* runsOf(sliceIndices, totalUpdateSlices, bounds),
    )
  })

/**
 * Pages that hold a dense pool `[numPages · pageSize, 2 · numKvHeads, headDim]`, each of them full: a copy, made
 * when they are realised, by one dispatch.
 */
export const fromDense = (
  arena: Arena,
  kvCache: CombinedRows,
): Result.Result<Pages.Pages, WriteError> =>
  Result.gen(function* () {
    const { blockSize } = arena.layout
    const positions = kvCache.shape[0] ?? 0
    if (positions === 0 || positions % blockSize !== 0) {
      const need = `a multiple of ${blockSize}, the tokens of a page, and not 0`
      return yield* Result.fail(
        new InvalidArgument({ name: "positions of kvCache", value: positions, need }),
      )
    }
    const rows = yield* combinedOf(arena, "kvCache", kvCache)
    const pages = yield* Pages.make(arena, positions / blockSize)
    const runs = Array.from({ length: pages.numPages }, (_, page): Pages.Run => ({
      page,
      offset: 0,
      from: page * blockSize,
      count: blockSize,
    }))
    return yield* Pages.write(pages, rows, runs)
  })

/** A dense pool, widened to f32. */
export type DensePool = Tensor<"f32", "positions combinedHeads headDim">

/**
 * The pool as one tensor `[numPages · pageSize, 2 · numKvHeads, headDim]`, key head h at 2h and value head h at
 * 2h + 1: a copy, widened to f32, zeros where nobody wrote. Realises the pages first. O(the pool's size).
 */
export const toDense = (
  pages: Pages.Pages,
): Effect.Effect<DensePool, RealizeError, Needs> =>
  Effect.flatMap(Pages.gatherAll(pages), ({ keys, values }) => {
    const [, positions = 0, numKvHeads = 0, headDim = 0] = keys.shape
    const axes = "rows two headDim"
    const shape = [positions * numKvHeads, 1, headDim]
    return Effect.map(
      concat({ ...keys, axes, shape }, { ...values, axes, shape }, "two"),
      (both): DensePool => ({
        ...both,
        axes: "positions combinedHeads headDim",
        shape: [positions, 2 * numKvHeads, headDim],
      }),
    )
  })
