/**
 * The same tokens as another kind of value: a sequence, pages that a caller numbers, or either in another arena.
 * In one arena the blocks are shared and nothing is copied; each conversion says which it was.
 *
 * A `KvCache` is between any two views. `row` takes a sequence out of a view and `withRow` puts one in, for
 * `PagedKvCache`, `ContinuousBatchingKvCacheCollection` and `TransformerCacheView`; the first two give pages, which
 * `toCache` joins.
 *
 * @example One sequence in three views of an arena, and in one block
 * ```ts
 * import assert from "node:assert/strict"
 * import { Effect, Result } from "effect"
 * import {
 *   Arena,
 *   ContinuousBatchingKvCacheCollection as Collection,
 *   Gpu,
 *   Interchange,
 *   Lease,
 *   PagedKvCache,
 *   Pages,
 *   Program,
 *   TransformerCacheMetaData,
 *   TransformerCacheView,
 * } from "@kvasir/kvasir"
 *
 * const metadata = Result.getOrThrow(TransformerCacheMetaData.create({
 *   batchSize: 1, sequenceLength: 8, numHiddenLayers: 1, padTokenId: 0, numHeads: 1, headDim: 2,
 * }))
 * const program = Effect.scoped(Effect.gen(function* () {
 *   const arena = (yield* Collection.make({
 *     kvParams: { numHeads: 1, headSize: 2, isMla: false },
 *     ...{ numBlocks: 4, numLayers: 1, maxSeqLen: 8, lookupTable: [], cacheLengths: [] },
 *   })).pages.arena
 *   const rows = yield* Gpu.upload(
 *     "f32",
 *     "tokens numKvHeads headDim",
 *     { tokens: 2, numKvHeads: 1, headDim: 2 },
 *     Float32Array.of(1, 2, 3, 4),
 *   )
 *   const { paged, batch, view } = yield* Effect.fromResult(Result.gen(function* () {
 *     const none = yield* PagedKvCache.of(arena, { batchSize: 1, maxBlocksPerSeq: 1 })
 *     const { cache } = yield* PagedKvCache.allocateBlocks(none, { sequence: 0, numTokens: 2 })
 *     const pages = yield* Pages.make(arena, 4)
 *     return {
 *       paged: yield* PagedKvCache.appendKv(cache, 0, rows, rows),
 *       batch: yield* Collection.of(pages, { lookupTable: [3], cacheLengths: [0] }),
 *       view: yield* TransformerCacheView.init(arena, { metadata }),
 *     }
 *   }))
 *   yield* Lease.scoped(arena)(Effect.gen(function* () {
 *     const all = yield* Program.run(Effect.gen(function* () {
 *       const row = yield* Effect.fromResult(PagedKvCache.row(paged, 0))
 *       const { value: cache } = yield* Interchange.toCache(row)
 *       return {
 *         batch: yield* Collection.withRow(batch, 0, cache),
 *         view: yield* TransformerCacheView.withRow(view, 0, cache),
 *       }
 *     }))
 *     assert.deepEqual([all.batch.copied, all.view.copied], [false, false])
 *     assert.deepEqual([all.batch.value.cacheLengths, all.view.value.indexs], [[2], [2]])
 *     assert.equal(Arena.usage(arena)[0]!.free, 4) // of 5: one block holds them all
 *   }))
 * }))
 * await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
 * ```
 *
 * @module
 */
import { Effect, Result } from "effect"
import { divided, joined } from "../cache/adopt.ts"
import type { Arena } from "../cache/Arena.ts"
import { during, type Needs } from "../cache/Flight.ts"
import { gather, type Gathered } from "../cache/gather.ts"
import type { Layout } from "../cache/Layout.ts"
import * as Pages from "../cache/Pages.ts"
import { type RealizeError, realizeIn } from "../cache/Realize.ts"
import { storedTo } from "../cache/stored.ts"
import { type AnyRows, empty, type KvCache } from "../cache/value.ts"
import { append, type WriteError } from "../cache/write.ts"
import {
  CapacityExceeded,
  DTypeMismatch,
  DuplicateBlock,
  InvalidArgument,
  LayoutMismatch,
  type ShapeMismatch,
} from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import type * as Shape from "../tensor/Shape.ts"
import * as Tensor from "../tensor/Tensor.ts"

/** What a conversion gave, and whether rows were copied for it. */
export interface Converted<out A> {
  /** The same tokens. */
  readonly value: A
  /** False where both share their blocks. */
  readonly copied: boolean
}

/** How a conversion into another arena goes about it. */
export interface Options {
  /** Rows may change their dtype, rounded to nearest; else arenas of two dtypes are refused. Default false. */
  readonly cast?: boolean
}

/** One sequence in pages: the first `length` slots of these, in order. */
export interface PagesRow {
  /** The pool. */
  readonly pages: Pages.Pages
  /** Numbers of its pages; those past the length are not looked at. */
  readonly blocks: ReadonlyArray<number>
  /** Tokens. */
  readonly length: number
}

/** What a conversion may fail with; all values are then as before. */
export type ConvertError = RealizeError | WriteError | LayoutMismatch | DuplicateBlock

/** Rows of one arena that another cannot hold. */
const layoutError = (
  from: Layout,
  into: Layout,
  { cast = false }: Options,
): LayoutMismatch | DTypeMismatch | undefined => {
  for (const field of ["layers", "keyHeads", "keyDim", "valueHeads", "valueDim"] as const) {
    if (from[field] === into[field]) continue
    const [expected, actual] = [`${into[field]}`, `${from[field]}`]
    return new LayoutMismatch({ field, expected, actual })
  }
  if (into.placement === "latent" && from.placement !== "latent") {
    return new LayoutMismatch({
      field: "placement",
      expected: '"latent", where values are part of the keys,',
      actual: `"${from.placement}"`,
    })
  }
  if (!cast && from.dtype !== into.dtype) {
    const remedy = "{ cast: true } rounds it"
    return new DTypeMismatch({
      tensor: "a cache",
      expected: into.dtype,
      actual: from.dtype,
      remedy,
    })
  }
}

/** Gathered rows in the form that an arena stores. Internal. */
export const given = (
  rec: Recording.Open,
  layout: Layout,
  { keys, values }: Gathered,
): Result.Result<AnyRows, ShapeMismatch> =>
  Result.gen(function* () {
    const stored = yield* storedTo(rec, layout, keys)
    if (layout.placement === "latent") return { latent: stored }
    return { keys: stored, values: yield* storedTo(rec, layout, values) }
  })

const lengthError = (value: number): InvalidArgument | undefined =>
  Number.isSafeInteger(value) && value >= 0
    ? undefined
    : new InvalidArgument({ name: "length", value, need: "a whole number, at least 0" })

const copyOf = <A>(
  rows: Effect.Effect<Gathered, RealizeError, Needs>,
  from: Layout,
  into: Layout,
  options: Options,
  write: (rows: AnyRows) => Result.Result<A, WriteError>,
): Effect.Effect<Converted<A>, ConvertError, Needs> => {
  const bad = layoutError(from, into, options)
  if (bad !== undefined) return Effect.fail(bad)
  return Effect.flatMap(rows, (gathered) =>
    Recording.op((rec) =>
      Result.map(
        Result.flatMap(given(rec, into, gathered), write),
        (value): Converted<A> => ({ value, copied: true }),
      )
    ))
}

/**
 * A sequence in pages as one cache of `into`. In the pages' own arena it shares their blocks: appending to either
 * goes on in place once, and copies a block for whoever comes second. Into another arena the rows are gathered, and
 * owed by the new cache. Runs under a lease of the pages' arena. O(blocks), or O(tokens) where it copies.
 */
export const toCache = (
  { pages, blocks, length }: PagesRow,
  into: Arena = pages.arena,
  options: Options = {},
): Effect.Effect<Converted<KvCache>, ConvertError, Needs> => {
  const doing = "join pages"
  const bad = lengthError(length)
  if (bad !== undefined) return Effect.fail(bad)
  if (into !== pages.arena) {
    const rows = Pages.gather(pages, blocks, length)
    return copyOf(
      rows,
      pages.arena.layout,
      into.layout,
      options,
      (rows) => append(empty(into), rows),
    )
  }
  return Effect.flatMap(
    Effect.fromResult(Pages.pagesOf(pages, blocks, length)),
    (used) =>
      Pages.reading(doing, used.map(([cache]) => cache), (flight) =>
        Effect.map(
          Effect.fromResult(joined(flight, doing, used)),
          (value): Converted<KvCache> => ({ value, copied: false }),
        )),
  )
}

/** What is wrong with pages that are to hold a sequence. */
const targetError = (
  { length, starts }: KvCache,
  pages: Pages.Pages,
  blocks: ReadonlyArray<number>,
): InvalidArgument | CapacityExceeded | DuplicateBlock | undefined => {
  const { blockSize } = pages.arena.layout
  const capacity = blocks.length * blockSize
  if (length > capacity) return new CapacityExceeded({ needed: length, capacity })
  const first = Math.max(...starts)
  if (first > 0) {
    const name = "the first position the cache sees"
    return new InvalidArgument({ name, value: first, need: "0: pages hold a sequence from there" })
  }
  const used = blocks.slice(0, Math.ceil(length / blockSize))
  for (const [i, block] of used.entries()) {
    const bad = Pages.pageError(pages, `blocks[${i}]`, block)
    if (bad !== undefined) return bad
    if (used.indexOf(block) !== i) return new DuplicateBlock({ block, owner: "this row already" })
  }
}

/**
 * The pool whose pages `blocks` hold a cache's tokens, in order, in place of what they held; pages past its length
 * stay as they are. In the cache's own arena they share its blocks; into another the rows are gathered, and owed by
 * the pages. Runs under a lease of the cache's arena. O(blocks), or O(tokens) where it copies.
 */
export const toPages = (
  cache: KvCache,
  { pages, blocks }: Pick<PagesRow, "pages" | "blocks">,
  options: Options = {},
): Effect.Effect<Converted<Pages.Pages>, ConvertError, Needs> => {
  const doing = "divide a cache"
  const bad = targetError(cache, pages, blocks)
  if (bad !== undefined) return Effect.fail(bad)
  const { blockSize } = pages.arena.layout
  const used = blocks.slice(0, Math.ceil(cache.length / blockSize))
  if (pages.arena !== cache.arena) {
    const runs = used.map((page, i): Pages.Run => {
      const from = i * blockSize
      return { page, offset: 0, from, count: Math.min(blockSize, cache.length - from) }
    })
    return copyOf(
      gather(cache),
      cache.arena.layout,
      pages.arena.layout,
      options,
      (rows) => Pages.write(Pages.clear(pages, used), rows, runs),
    )
  }
  return during(doing, [cache], (flight) =>
    Effect.andThen(
      realizeIn(flight, doing),
      Effect.suspend(() =>
        Effect.fromResult(
          Result.map(divided(flight, doing, cache), (parts): Converted<Pages.Pages> => ({
            value: parts.reduce((pool, part, i) => Pages.set(pool, used[i]!, part), pages),
            copied: false,
          })),
        )
      ),
    ))
}

/**
 * A cache as one of another arena, or itself in its own. Into another arena the rows are gathered, and owed by the
 * new cache. Runs under a lease of the cache's arena. O(1), or O(tokens) where it copies.
 */
export const toArena = (
  cache: KvCache,
  into: Arena,
  options: Options = {},
): Effect.Effect<Converted<KvCache>, ConvertError, Needs> => {
  if (into === cache.arena) return Effect.succeed({ value: cache, copied: false })
  const first = Math.max(...cache.starts)
  if (first > 0) {
    const name = "the first position the cache sees"
    const need = "0: a copy has all positions"
    return Effect.fail(new InvalidArgument({ name, value: first, need }))
  }
  return copyOf(
    gather(cache),
    cache.arena.layout,
    into.layout,
    options,
    (rows) => append(empty(into), rows),
  )
}

/**
 * A dense tensor with its axes in the order that is asked for, by their names: `order(x, "tokens heads dim")`. In
 * that order already it is the tensor itself.
 */
export const order = <A extends string, const Y extends string>(
  x: Tensor.Tensor<"f32", A>,
  axes: Shape.AxisOf<Y> extends Shape.AxisOf<A> ? Y : never,
): Effect.Effect<
  Converted<Tensor.Tensor<"f32", Y>>,
  ShapeMismatch | InvalidArgument,
  Recording.Recording
> =>
  Effect.map(
    Tensor.permute<A, Y>(x, axes),
    (value) => ({ value, copied: value.slot !== x.slot }),
  )
