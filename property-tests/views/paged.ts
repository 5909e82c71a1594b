/** Small paged caches. @module */
import { Effect, Result } from "effect"
import { Gpu, type Layout, PagedKvCache, Program, Recording } from "../../mod.ts"
import * as Shelf from "../models/shelf.ts"

/** Rows of a block table, and cells of each. */
export const sizes = { batchSize: 2, maxBlocksPerSeq: 2 }

/** One layer of two heads of two elements, in blocks of four. */
export const shelfOf = (layout: Partial<Layout.Options> = {}): Shelf.Shelf =>
  Shelf.make({ layers: 1, keyHeads: 2, keyDim: 2, blockSize: 4, ...layout })

/** A cache over the shelf's arena. */
export const emptyOf = (shelf: Shelf.Shelf, numBlocks = 6): PagedKvCache =>
  Result.getOrThrow(PagedKvCache.of(shelf.world.arena, { ...sizes, numBlocks }))

/** Rows `[tokens, heads, dim]` whose elements count up. */
export const rows = (
  tokens: number,
  heads = 2,
  dim = 2,
  dtype: PagedKvCache.NewRows["dtype"] = "f32",
): PagedKvCache.NewRows => {
  const data = Float32Array.from({ length: tokens * heads * dim }, (_, i) => i + 1)
  const shape = [tokens, heads, dim]
  return dtype === "f32"
    ? Recording.fresh(dtype, "tokens numKvHeads headDim", shape, data)
    : Recording.fresh(dtype, "tokens numKvHeads headDim", shape, Uint16Array.from(data))
}

/** With these blocks taken. */
export const allocated = (
  cache: PagedKvCache,
  sequence: number,
  numTokens: number,
  freeBlockIds: ReadonlyArray<number>,
): PagedKvCache =>
  Result.getOrThrow(PagedKvCache.allocateBlocks(cache, { sequence, numTokens, freeBlockIds })).cache

/** With so many rows after a sequence. */
export const appended = (cache: PagedKvCache, sequence: number, tokens: number): PagedKvCache =>
  Result.getOrThrow(PagedKvCache.appendKv(cache, sequence, rows(tokens), rows(tokens)))
/** Keys of every sequence, read from the device. */
export const keysOf = (
  shelf: Shelf.Shelf,
  cache: PagedKvCache,
): ReadonlyArray<ReadonlyArray<number>> =>
  Shelf.run(
    shelf,
    Effect.forEach(cache.seqLengths, (_, sequence) =>
      Effect.gen(function* () {
        const { keys } = yield* Program.run(PagedKvCache.gatherKv(cache, sequence))
        return [...yield* Gpu.read(keys)]
      })),
  )
