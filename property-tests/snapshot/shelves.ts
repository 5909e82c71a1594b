/** Caches to take snapshots of, and arenas with no block too many to restore them to. @module */
import { Effect, Result } from "effect"
import fc from "fast-check"
import { KvCache, type Layout, Snapshot } from "../../mod.ts"
import { layout } from "../../testing/world/configs.ts"
import * as Shelf from "../models/shelf.ts"
import * as World from "../../testing/world/world.ts"

/** A history, how its layers see it, and how it is stored and restored. */
export interface Case {
  readonly layout: Layout.Options
  /** Of the arena it is restored to. */
  readonly other: Layout.Options
  readonly ids: ReadonlyArray<number>
  readonly cuts: ReadonlyArray<number>
  /** First visible position, by group. */
  readonly starts: ReadonlyArray<number>
  readonly blockTokens: number
}

const isEven = ({ keyHeads, valueHeads = keyHeads, keyDim, valueDim = keyDim }: Layout.Options) =>
  keyHeads === valueHeads && keyDim === valueDim

/** Any of them: windows in every group, or none. */
export const cases: fc.Arbitrary<Case> = fc.record({
  drawn: layout,
  windows: fc.array(fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined }), {
    minLength: 3,
    maxLength: 3,
  }),
  fractions: fc.array(fc.constantFrom(0, 0, 0.3, 0.7, 1), { minLength: 3, maxLength: 3 }),
  ids: fc.array(fc.nat(1000), { maxLength: 24 }),
  cuts: fc.array(fc.integer({ min: 1, max: 23 }), { maxLength: 3 }),
  blockSize: fc.constantFrom(1, 2, 3, 5, 16, 24),
  placement: fc.constantFrom("perLayer", "fused", "interleaved"),
  blockTokens: fc.constantFrom(1, 3, 4, 7, 64),
}).map(({ drawn, windows, fractions, ids, cuts, blockSize, placement, blockTokens }) => {
  const layers = Array.from({ length: drawn.layers }, (_, i) => i)
  const groups = (drawn.groups ?? [{ layers, window: undefined }])
    .map((group, g) => ({ ...group, window: windows[g] }))
  const layout = { ...drawn, groups }
  const other = { ...layout, blockSize, ...(isEven(layout) && { placement }) }
  const starts = groups.map((_, g) => Math.floor(fractions[g]! * ids.length))
  return { layout, other, ids, cuts, starts, blockTokens }
})

/** The cache of a case, not placed yet. */
export const cacheOf = (shelf: Shelf.Shelf, { ids, cuts, starts }: Case): KvCache =>
  starts.reduce(
    (cache, start, group) => Result.getOrThrow(KvCache.dropBefore(cache, start, group)),
    Shelf.cacheOf(shelf, ids, cuts),
  )

/**
 * An arena with exactly the blocks that a case needs, and `spare` more. A group without a window sets the capacity,
 * so it has blocks for everything.
 */
export const tight = ({ other, ids, starts }: Case, spare = 0): Shelf.Shelf => {
  const { blockSize } = other
  const all = Math.ceil(ids.length / blockSize)
  const numBlocks = starts.map((start, group) => {
    const gone = other.groups![group]!.window === undefined ? 0 : Math.floor(start / blockSize)
    return Math.max(1, all - gone) + spare
  })
  const world = World.make({ layout: other, numBlocks })
  world.device.gated = false
  return { world, guard: World.open(world), poison: "nan" }
}

/** A snapshot of a cache as bytes. */
export const bytesOf = (
  shelf: Shelf.Shelf,
  cache: KvCache,
  about: Snapshot.About,
): Uint8Array => Shelf.run(shelf, Effect.flatMap(Snapshot.take(cache, about), Snapshot.encode))

/** A small snapshot: two groups of layers, one with a window, four blocks. */
export const small = (note = ""): Uint8Array => {
  const layout = {
    layers: 2,
    groups: [{ layers: [0], window: undefined }, { layers: [1], window: 3 }],
    keyHeads: 1,
    keyDim: 3,
    blockSize: 2,
    dtype: "f16" as const,
  }
  const shelf = Shelf.make(layout)
  const [ids, starts] = [[5, 6, 7, 8, 9], [0, 2]]
  const given = { layout, other: layout, ids, cuts: [], starts, blockTokens: 3 }
  const cache = cacheOf(shelf, given)
  const bytes = bytesOf(shelf, cache, { tokens: ids, model: "m", note, blockTokens: 3 })
  Shelf.end(shelf)
  return bytes
}
