/** Small transformer caches with known numbers, and what is read of them. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import {
  Gpu,
  type Layout,
  type Lease,
  Program,
  Recording,
  TransformerCache,
  TransformerCacheMetaData,
  TransformerCacheView,
} from "../../mod.ts"
import * as Shelf from "./shelf.ts"

/** Metadata of a small cache; some of it otherwise. */
export const metadataOf = (
  more: Partial<TransformerCacheMetaData.Options> = {},
): TransformerCacheMetaData =>
  Result.getOrThrow(TransformerCacheMetaData.create({
    batchSize: 2,
    sequenceLength: 8,
    numHiddenLayers: 2,
    padTokenId: 0,
    keyHeads: 1,
    valueHeads: 1,
    keyDim: 2,
    valueDim: 2,
    ...more,
  }))

/** A shelf whose arena is laid out for the metadata. */
export const shelfOf = (
  metadata: TransformerCacheMetaData,
  more: Partial<Layout.Options> = {},
): Shelf.Shelf => {
  const { keyHeads, valueHeads, keyDim, valueDim, sequenceLength: capacity } = metadata
  const blockSize = capacity
  return Shelf.make({
    layers: 1,
    keyHeads,
    valueHeads,
    keyDim,
    valueDim,
    blockSize,
    capacity,
    ...more,
  })
}

/** An empty cache over a shelf's arena. */
export const cacheOn = (
  { world }: Shelf.Shelf,
  metadata: TransformerCacheMetaData,
  options: Partial<TransformerCache.CacheOptions> = {},
): TransformerCache =>
  Effect.runSync(
    Effect.scoped(TransformerCache.initCache({ metadata, arena: world.arena, ...options })).pipe(
      Effect.provideContext(world.context),
    ),
  )

/** A tensor of numbers that differ, as one of a recording. */
export const some = <const A extends string>(
  axes: A,
  shape: ReadonlyArray<number>,
  seed = 1,
): ReturnType<typeof Recording.fresh<"f32", A>> => {
  const size = shape.reduce((product, n) => product * n, 1)
  const data = Float32Array.from({ length: size }, (_, i) => Math.fround(Math.sin(seed + 0.7 * i)))
  return Recording.fresh("f32", axes, shape, data)
}

/** A chunk of so many tokens for every row. */
export const chunkOf = (
  { batchSize, keyHeads, valueHeads, keyDim, valueDim }: TransformerCacheMetaData,
  tokens: number,
  seed = 1,
): TransformerCacheView.Chunk => ({
  key: some("batch tokens keyHeads keyDim", [batchSize, tokens, keyHeads, keyDim], seed),
  value: some(
    "batch tokens valueHeads valueDim",
    [batchSize, tokens, valueHeads, valueDim],
    seed + 0.5,
  ),
})

/** The cache with a chunk in every layer. */
export const filled = (
  shelf: Shelf.Shelf,
  cache: TransformerCache,
  tokens: number,
): TransformerCache => {
  let next = cache
  for (const [layer, view] of cache.views.entries()) {
    const chunk = chunkOf(view!.metadata, tokens, 1 + layer)
    const made = TransformerCacheView.concatenateToCache(view!, chunk)
    const { view: longer } = Shelf.run(shelf, Program.run(made))
    next = Result.getOrThrow(TransformerCache.with(next, layer, longer))
  }
  return next
}

/** Everything that may be read of a cache. */
export const picture = (shelf: Shelf.Shelf, cache: TransformerCache): unknown =>
  cache.views.map((view) => {
    if (view === undefined) return undefined
    const [keys, values, positions] = Shelf.run(
      shelf,
      Effect.gen(function* () {
        const dense = yield* Program.run(TransformerCacheView.materialize(view))
        return [yield* Gpu.read(dense.keys), yield* Gpu.read(dense.values), dense.positions]
      }),
    )
    const { indexs, starts, layerIndex, maskingDetails, metadata, maximumSequenceLength } = view
    return {
      keys,
      values,
      positions,
      indexs,
      starts,
      layerIndex,
      maskingDetails,
      metadata,
      maximumSequenceLength,
    }
  })

interface Refusal {
  readonly _tag: string
  readonly message: string
}

/** An effect inside a run is refused with these words, and the cache is as it was. */
export const refuses = (
  shelf: Shelf.Shelf,
  cache: TransformerCache,
  effect: Effect.Effect<unknown, Refusal, Lease | Recording | Recording.Transaction | Gpu>,
  tag: string,
  message: string,
): void => {
  const before = picture(shelf, cache)
  const why = Shelf.run(shelf, Effect.flip(Program.run(effect)))
  assert.deepEqual([why._tag, why.message], [tag, message])
  assert.deepEqual(picture(shelf, cache), before, "all caches are as they were")
}

/** A result is an error with these words. */
export const says = (
  result: Result.Result<unknown, Refusal>,
  tag: string,
  message: string,
): void => {
  const why = Result.getOrThrow(Result.flip(result))
  assert.deepEqual([why._tag, why.message], [tag, message])
}
