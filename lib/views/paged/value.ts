/** What a paged cache is, and how one is made. @module */
import { Effect, HashMap, Option, Result, type Scope } from "effect"
import * as Arena from "../../cache/Arena.ts"
import * as Layout from "../../cache/Layout.ts"
import * as Pages from "../../cache/Pages.ts"
import type * as Gpu from "../../device/Gpu.ts"
import {
  type ArenaTooLarge,
  DuplicateBlock,
  type GpuFault,
  InvalidArgument,
  UnknownSequence,
} from "../../errors.ts"
import { Keep, type Keeper } from "../../tensor/Recording.ts"
import { isWhole, wholeError } from "../whole.ts"

/** Some sequences whose tokens lie in the blocks of one pool, as a value. */
export interface PagedKvCache extends Keeper {
  /** What holds the rows: block i is page i. Shared, not copied, with whatever reads these pages. */
  readonly pages: Pages.Pages
  /**
   * `[batchSize, maxBlocksPerSeq]`: cell i of a row names the block of the sequence's tokens from `i · blockSize`
   * on; −1 is none, and only −1 follows it.
   */
  readonly blockTable: ReadonlyArray<ReadonlyArray<number>>
  /** `[batchSize]`: tokens each sequence holds. */
  readonly seqLengths: ReadonlyArray<number>
  /** Blocks of the pool, numbered from 0. */
  readonly numBlocks: number
  /** Tokens a block holds. */
  readonly blockSize: number
  readonly numKvHeads: number
  /** Elements of a head, in keys and values alike. */
  readonly headDim: number
  readonly batchSize: number
  readonly maxBlocksPerSeq: number
  /** Whose each block is that belongs to a sequence. Internal. */
  readonly owners: HashMap.HashMap<number, number>
  /** No block below it is free. Internal. */
  readonly lowest: number
}

/** What an update replaces. */
type Changes = Partial<
  Pick<PagedKvCache, "pages" | "blockTable" | "seqLengths" | "owners" | "lowest">
>

/** The cache with some of it replaced. Internal. */
export const update = (self: PagedKvCache, changes: Changes): PagedKvCache => {
  const pages = changes.pages ?? self.pages
  return { ...self, ...changes, [Keep]: () => pages[Keep]() }
}

/** How many sequences, and how long they may get. */
export interface Sizes {
  /** Default: as many as the arena has. */
  readonly numBlocks?: number
  /** Sequences, numbered from 0. */
  readonly batchSize: number
  /** Cells of a row of the block table: a sequence holds at most so many blocks. */
  readonly maxBlocksPerSeq: number
}

/** What is wrong with an arena. Internal: the one object of the design is one layer, and names one size for keys and values. */
export const layoutError = (layout: Layout.Layout): InvalidArgument | undefined => {
  const { layers, keyHeads, keyDim, valueHeads, valueDim } = layout
  if (layers !== 1) {
    const need = "1: a layer has a paged cache of its own"
    return new InvalidArgument({ name: "layers of the arena", value: layers, need })
  }
  if (keyHeads === valueHeads && keyDim === valueDim) return
  const value = `${keyHeads}×${keyDim} keys, ${valueHeads}×${valueDim} values`
  return new InvalidArgument({ name: "heads and dims", value, need: "equal for keys and values" })
}

/** The value with these tables over these pages. Internal. */
export const over = (
  pages: Pages.Pages,
  blockTable: PagedKvCache["blockTable"],
  seqLengths: ReadonlyArray<number>,
  owners: PagedKvCache["owners"],
): PagedKvCache => {
  const { blockSize, keyHeads, keyDim } = pages.arena.layout
  return {
    pages,
    blockTable,
    seqLengths,
    numBlocks: pages.numPages,
    blockSize,
    numKvHeads: keyHeads,
    headDim: keyDim,
    batchSize: blockTable.length,
    maxBlocksPerSeq: blockTable[0]!.length,
    owners,
    lowest: 0,
    [Keep]: () => pages[Keep](),
  }
}

/** A table is a list on the host, far smaller than the pool of so many blocks. */
const mostCells = 2 ** 26

/** No tokens and no blocks, over an arena of one layer. Touches no device and takes no memory. */
export const of = (
  arena: Arena.Arena,
  { numBlocks, batchSize, maxBlocksPerSeq }: Sizes,
): Result.Result<PagedKvCache, InvalidArgument> =>
  Result.gen(function* () {
    const most = arena.ledgers[0]!.numBlocks
    const given = { numBlocks: numBlocks ?? most, batchSize, maxBlocksPerSeq }
    const bad = wholeError(given, 1) ?? layoutError(arena.layout)
    if (bad !== undefined) return yield* Result.fail(bad)
    if (given.numBlocks > most) {
      const need = `at most ${most}, the blocks of the arena`
      return yield* Result.fail(
        new InvalidArgument({ name: "numBlocks", value: given.numBlocks, need }),
      )
    }
    const cells = batchSize * maxBlocksPerSeq
    if (cells > mostCells) {
      const need = `at most ${mostCells}: take fewer sequences or blocks`
      return yield* Result.fail(
        new InvalidArgument({ name: "cells of the block table", value: cells, need }),
      )
    }
    const row = new Array<number>(maxBlocksPerSeq).fill(-1)
    const table = Array.from({ length: batchSize }, () => row)
    const lengths = new Array<number>(batchSize).fill(0)
    return over(yield* Pages.make(arena, given.numBlocks), table, lengths, HashMap.empty())
  })

/** What `init` needs. */
export interface Options extends Sizes {
  readonly numBlocks: number
  /** Tokens a block holds. */
  readonly blockSize: number
  readonly numKvHeads: number
  /** Elements of a head, in keys and values alike. */
  readonly headDim: number
  /** Default `"f32"`. */
  readonly dtype?: Layout.Storage
  /** Default `"perLayer"`. */
  readonly placement?: Layout.Placement
  /**
   * Blocks of memory besides: a block that an older value still sees is copied when it is written over, and a
   * block that was freed is only then empty when nothing kept sees it (`Lease.keep`). Default 0.
   */
  readonly spareBlocks?: number
}

/**
 * An empty paged cache with an arena of its own, which the scope owns: no tokens, a block table of −1.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { Effect, Result } from "effect"
 * import { Gpu, Lease, PagedKvCache, Program } from "@kvasir/kvasir"
 *
 * const program = Effect.scoped(Effect.gen(function* () {
 *   const empty = yield* PagedKvCache.init({
 *     numBlocks: 4,
 *     blockSize: 2,
 *     numKvHeads: 1,
 *     headDim: 2,
 *     batchSize: 1,
 *     maxBlocksPerSeq: 3,
 *   })
 *   const rows = yield* Gpu.upload(
 *     "f32",
 *     "tokens numKvHeads headDim",
 *     { tokens: 3, numKvHeads: 1, headDim: 2 },
 *     Float32Array.of(1, 2, 3, 4, 5, 6),
 *   )
 *   const cache = yield* Effect.fromResult(Result.gen(function* () {
 *     const { cache } = yield* PagedKvCache.allocateBlocks(empty, { sequence: 0, numTokens: 3 })
 *     return yield* PagedKvCache.appendKv(cache, 0, rows, rows)
 *   }))
 *   assert.deepEqual([cache.blockTable, cache.seqLengths], [[[0, 1, -1]], [3]])
 *   yield* Lease.scoped(cache.pages.arena)(Effect.gen(function* () {
 *     const { keys } = yield* Program.run(PagedKvCache.gatherKv(cache, 0))
 *     assert.deepEqual([...yield* Gpu.read(keys)], [1, 2, 3, 4, 5, 6])
 *   }))
 * }))
 * await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
 * ```
 */
export const init = (
  options: Options,
): Effect.Effect<
  PagedKvCache,
  InvalidArgument | ArenaTooLarge | GpuFault,
  Gpu.Gpu | Scope.Scope
> =>
  Effect.gen(function* () {
    const { numBlocks, blockSize, numKvHeads, headDim, batchSize, maxBlocksPerSeq } = options
    const { dtype = "f32", placement = "perLayer", spareBlocks = 0 } = options
    const sizes = { numBlocks, blockSize, numKvHeads, headDim, batchSize, maxBlocksPerSeq }
    const bad = wholeError(sizes, 1) ?? wholeError({ spareBlocks }, 0)
    if (bad !== undefined) return yield* bad
    const layout = yield* Effect.fromResult(
      Layout.make({
        layers: 1,
        keyHeads: numKvHeads,
        keyDim: headDim,
        blockSize,
        dtype,
        placement,
      }),
    )
    const arena = yield* Arena.make(layout, numBlocks + spareBlocks)
    return yield* Effect.fromResult(of(arena, { numBlocks, batchSize, maxBlocksPerSeq }))
  })

/** Why there is no such sequence. Internal. */
export const sequenceError = (
  { batchSize }: PagedKvCache,
  sequence: number,
): UnknownSequence | undefined =>
  isWhole(sequence, 0) && sequence < batchSize
    ? undefined
    : new UnknownSequence({ sequence, sequences: batchSize })

/** Blocks that a row of the block table names. Internal. */
export const blocksOf = (row: ReadonlyArray<number>): ReadonlyArray<number> => {
  const end = row.indexOf(-1)
  return end < 0 ? row : row.slice(0, end)
}

/** Whose a block is that may not be taken twice. Internal. */
export const ownerError = (
  owners: PagedKvCache["owners"],
  block: number,
): DuplicateBlock | undefined => {
  const owner = Option.getOrUndefined(HashMap.get(owners, block))
  return owner === undefined ? undefined : new DuplicateBlock({ block, owner: `sequence ${owner}` })
}
