/** Transformer caches beside lists of row numbers, and what steps do to both. @module */
import { Result } from "effect"
import assert from "node:assert/strict"
import {
  type AttnMaskDetail,
  type Layout,
  Program,
  TransformerCache,
  TransformerCacheMetaData,
  TransformerCacheView,
} from "../../mod.ts"
import { type Op, sequenceLength, type Step } from "../arbitraries/transformer.ts"
import * as Shelf from "./shelf.ts"
import * as World from "../../testing/world/world.ts"

/** One row of one layer: row numbers by position, and the first that is still kept. */
export interface Row {
  readonly ids: ReadonlyArray<number>
  readonly kept: number
}

/** A cache, and what it must hold. */
export interface Model {
  readonly cache: TransformerCache
  readonly layers: ReadonlyArray<ReadonlyArray<Row>>
  readonly starts: ReadonlyArray<ReadonlyArray<number>>
}

/** Tokens that a layer keeps; undefined is all. */
export const windowOf = (one: AttnMaskDetail | undefined): number | undefined =>
  one?.maskType === "SLIDING" ? one.size : undefined

/** A chunk of these rows, `[batch][tokens]`. */
export const upload = (
  shelf: Shelf.Shelf,
  ids: ReadonlyArray<ReadonlyArray<number>>,
): TransformerCacheView.Chunk => {
  const { keys, values } = World.uploaded(shelf.world, ids.flat())
  const tokens = ids[0]!.length
  const shaped = (shape: ReadonlyArray<number>) => [ids.length, tokens, ...shape.slice(2)]
  return {
    key: { ...keys, axes: "batch tokens keyHeads keyDim" as const, shape: shaped(keys.shape) },
    value: {
      ...values,
      axes: "batch tokens valueHeads valueDim" as const,
      shape: shaped(values.shape),
    },
  }
}

/** Blocks that no query from here on sees are let go. */
const slid = (row: Row, blockSize: number, one: AttnMaskDetail | undefined): Row => {
  const window = windowOf(one)
  if (window === undefined) return row
  const needed = Math.max(0, row.ids.length - window + 1)
  return { ...row, kept: Math.max(row.kept, needed - needed % blockSize) }
}

const concatenated = (
  shelf: Shelf.Shelf,
  { cache, layers, starts }: Model,
  layer: number,
  details: ReadonlyArray<AttnMaskDetail | undefined>,
  op: Omit<Extract<Op, { do: "concatenate" }>, "do">,
): Model => {
  const { blockSize } = shelf.world.arena.layout
  const rows = layers[layer]!
  const view = Result.getOrThrow(TransformerCache.at(cache, layer))
  const indexs = op.back &&
    rows.map(({ ids, kept }, i) => Math.max(kept, ids.length - op.back![i]!))
  const bases = rows.map(({ ids }, i) => indexs?.[i] ?? ids.length)
  const tokens = Math.min(op.tokens, ...bases.map((base) => sequenceLength - base))
  const real = op.real && rows.map((_, i) => Math.min(op.real![i]!, tokens))
  const given = rows.map(() => World.rows(shelf.world, tokens))
  const next = Shelf.run(
    shelf,
    Program.run(TransformerCacheView.concatenateToCache(view, {
      ...upload(shelf, given),
      cacheMetadata: {
        ...(indexs && { indexs }),
        ...(real && { queryLengths: real, postpadded: true }),
      },
    })),
  )
  const written = rows.map((row, i): Row => {
    const base = slid({ ...row, ids: row.ids.slice(0, bases[i]) }, blockSize, details[layer])
    return { ...base, ids: [...base.ids, ...given[i]!.slice(0, real?.[i] ?? tokens)] }
  })
  return {
    cache: Result.getOrThrow(TransformerCache.with(cache, layer, next.view)),
    layers: layers.with(layer, written),
    starts,
  }
}

/** An empty cache. */
export const fresh = (
  shelf: Shelf.Shelf,
  metadata: TransformerCacheMetaData,
  details: ReadonlyArray<AttnMaskDetail | undefined>,
  starts?: ReadonlyArray<number>,
): Model => {
  const { arena } = shelf.world
  let cache = Result.getOrThrow(TransformerCache.initEmpty(details.length))
  for (const [layerIndex, maskingDetails] of details.entries()) {
    const view = TransformerCacheView.init(arena, {
      metadata,
      layerIndex,
      ...(maskingDetails && { maskingDetails }),
      ...(starts && { starts }),
    })
    cache = Result.getOrThrow(TransformerCache.with(cache, layerIndex, Result.getOrThrow(view)))
  }
  const each = Array.from({ length: metadata.batchSize }, () => 0)
  return {
    cache,
    layers: details.map(() => each.map(() => ({ ids: [], kept: 0 }))),
    starts: details.map(() => starts ?? each),
  }
}

/** What a step makes. */
export const played = (
  shelf: Shelf.Shelf,
  model: Model,
  metadata: TransformerCacheMetaData,
  details: ReadonlyArray<AttnMaskDetail | undefined>,
  { layer, op }: Step,
): Model => {
  const batch = metadata.batchSize
  switch (op.do) {
    case "concatenate":
      return concatenated(shelf, model, layer, details, op)
    case "insert": {
      const slot = op.slot % batch
      const batchSize = Math.min(op.batch, batch - slot)
      const starts = new Array<number>(batchSize).fill(op.start)
      let other = fresh(shelf, { ...metadata, batchSize }, details, starts)
      other = concatenated(shelf, other, layer, details, { tokens: op.tokens })
      const made = TransformerCache.insert(model.cache, other.cache, slot)
      const into = <A>(list: ReadonlyArray<A>, by: ReadonlyArray<A>) =>
        list.toSpliced(slot, batchSize, ...by)
      return {
        cache: Shelf.run(shelf, Program.run(made)),
        layers: model.layers.map((rows, i) => into(rows, other.layers[i]!)),
        starts: model.starts.map((list) => into(list, starts)),
      }
    }
    case "starts": {
      const slot = op.slot % batch
      const made = TransformerCache.insertStarts(model.cache, [op.start], slot)
      const starts = model.starts.map((list) => list.with(slot, op.start))
      return { ...model, cache: Result.getOrThrow(made), starts }
    }
    case "index": {
      const slot = op.slot % batch
      const rows = model.layers.map((rows) => rows[slot]!)
      const length = Math.max(0, Math.min(...rows.map(({ ids }) => ids.length)) - op.back)
      const made = TransformerCache.insertIndex(model.cache, [length], slot)
      if (rows.some(({ kept }) => length < kept)) {
        assert.equal(Result.getOrThrow(Result.flip(made))._tag, "InvalidArgument")
        return model
      }
      return {
        ...model,
        cache: Result.getOrThrow(made),
        layers: model.layers.map((rows) =>
          rows.with(slot, { ...rows[slot]!, ids: rows[slot]!.ids.slice(0, length) })
        ),
      }
    }
  }
}

/** Metadata of such a cache. */
export const metadataOf = (sizes: Layout.Options, batchSize: number): TransformerCacheMetaData =>
  Result.getOrThrow(TransformerCacheMetaData.create({
    batchSize,
    sequenceLength,
    numHiddenLayers: 2,
    padTokenId: 0,
    keyHeads: sizes.keyHeads,
    valueHeads: sizes.valueHeads,
    keyDim: sizes.keyDim,
    valueDim: sizes.valueDim,
  }))
