/**
 * How a cache lies in memory: the only code that computes strides and bytes.
 *
 * @module
 */
import { Result } from "effect"
import { width } from "../../kernels/pool.ts"
import { InvalidArgument } from "../errors.ts"
import * as DTypes from "../tensor/DType.ts"

/**
 * What keys and values can be stored in. `int8` is signed bytes, each row of a head under an f32 scale of its
 * own: max |x| / 127. A row is quantised once, as it is placed, and dequantised as kernels read it; copies of
 * blocks move its bits.
 */
export type Storage = "f32" | "f16" | "bf16" | "int8"

/** What rows are given in: as they are stored, but f32 where storing quantises them. */
export type Given = Exclude<Storage, "int8">

/** Which half of the cache. */
export type Kind = "keys" | "values"

/**
 * Layers that share block tables. A layer that looks at a window may let go of blocks that a layer with full
 * attention keeps, so each group has its own tables, ledger and buffers.
 */
export interface Group {
  readonly layers: ReadonlyArray<number>
  /** Tokens a query of these layers may see, itself included; undefined is all of them. */
  readonly window: number | undefined
}

/**
 * Where rows go inside the pools:
 *
 * - `perLayer`: one buffer of keys and one of values a layer, `[block][head][slot][dim]`: a head's keys stream
 * - `fused`: one buffer a group, `[block][keys, values][layer][slot][head][dim]`
 * - `interleaved`: one buffer a layer, `[block][slot][key head, value head, …][dim]`
 * - `latent`: one buffer a group, `[block][layer][slot][head][dim]`: keys only, whose first `valueDim` elements
 *   are the values, as multi-head latent attention has them
 */
export type Placement = "perLayer" | "fused" | "interleaved" | "latent"

/** Sizes of a cache. It travels with every arena and is never guessed from a shape. */
export interface Layout {
  readonly layers: number
  readonly groups: ReadonlyArray<Group>
  readonly keyHeads: number
  readonly valueHeads: number
  readonly keyDim: number
  readonly valueDim: number
  /** Tokens a block holds. */
  readonly blockSize: number
  /** Most tokens one cache may hold. */
  readonly capacity: number
  readonly dtype: Storage
  readonly placement: Placement
}

/** What `make` needs; the rest has the default of the design. */
export interface Options {
  readonly layers: number
  /** Default: one group of all layers with full attention. */
  readonly groups?: ReadonlyArray<Group>
  readonly keyHeads: number
  /** Default: as many as `keyHeads`. */
  readonly valueHeads?: number
  readonly keyDim: number
  /** Default: as wide as `keyDim`. */
  readonly valueDim?: number
  readonly blockSize: number
  /** Default: as many as the arena's blocks hold. */
  readonly capacity?: number
  /** Default `"f32"`. */
  readonly dtype?: Storage
  /** Default `"perLayer"`. */
  readonly placement?: Placement
}

/**
 * Where one layer's keys or values lie: the row of (slot, head) in pool `pool` begins at element
 * `base + ⌊slot / blockSize⌋ · block + head · head + (slot mod blockSize) · slot`, always a whole word.
 *
 * An element is what the dtype says, and a byte of int8: there the four bytes of the scale come first, at the
 * row's own address, and element i is at 4 + i. So one address serves both, whatever the placement, and a row
 * that moves takes its scale along.
 */
export interface Strides {
  readonly pool: number
  readonly base: number
  readonly block: number
  readonly head: number
  readonly slot: number
}

const whole = (name: string, value: number, least = 1): InvalidArgument | undefined =>
  Number.isSafeInteger(value) && value >= least
    ? undefined
    : new InvalidArgument({ name, value, need: `a whole number, at least ${least}` })

/** More than any model has; lists of all layers are made before memory is asked for. */
const mostLayers = 65_536

const groupError = (layers: number, groups: ReadonlyArray<Group>): InvalidArgument | undefined => {
  const named = groups.flatMap((group) => group.layers).sort((a, b) => a - b)
  const each = named.length === layers && named.every((layer, i) => layer === i)
  if (!each) {
    const need = `each layer from 0 to ${layers - 1} exactly once`
    return new InvalidArgument({ name: "layers of the groups", value: named.join(" "), need })
  }
  for (const { window } of groups) {
    const bad = window === undefined ? undefined : whole("window", window)
    if (bad !== undefined) return bad
  }
}

/**
 * Checks every size.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { Result } from "effect"
 * import { Layout } from "@kvasir/kvasir"
 * const layout = Result.getOrThrow(
 *   Layout.make({ layers: 6, keyHeads: 2, keyDim: 32, blockSize: 16, dtype: "f16" }),
 * )
 * assert.equal(Layout.blockBytes(layout, 0), 6 * 2 * 16 * 2 * 32 * 2)
 * ```
 */
export const make = (options: Options): Result.Result<Layout, InvalidArgument> => {
  if (options.layers > mostLayers) {
    const need = `a whole number from 1 to ${mostLayers}`
    return Result.fail(new InvalidArgument({ name: "layers", value: options.layers, need }))
  }
  const layout: Layout = {
    layers: options.layers,
    groups: options.groups ?? [{
      layers: Array.from({ length: Math.max(0, Math.trunc(options.layers) || 0) }, (_, i) => i),
      window: undefined,
    }],
    keyHeads: options.keyHeads,
    valueHeads: options.valueHeads ?? options.keyHeads,
    keyDim: options.keyDim,
    valueDim: options.valueDim ?? options.keyDim,
    blockSize: options.blockSize,
    capacity: options.capacity ?? Number.MAX_SAFE_INTEGER,
    dtype: options.dtype ?? "f32",
    placement: options.placement ?? "perLayer",
  }
  const sizes = [
    "layers",
    "keyHeads",
    "valueHeads",
    "keyDim",
    "valueDim",
    "blockSize",
    "capacity",
  ] as const
  for (const name of sizes) {
    const bad = whole(name, layout[name])
    if (bad !== undefined) return Result.fail(bad)
  }
  const bad = groupError(layout.layers, layout.groups)
  if (bad !== undefined) return Result.fail(bad)
  const uneven = unevenError(layout)
  return uneven === undefined ? Result.succeed(layout) : Result.fail(uneven)
}

/** Keys and values that lie together are alike; those that are the same rows have as many heads. */
const unevenError = (layout: Layout): InvalidArgument | undefined => {
  const { keyHeads, keyDim, valueHeads, valueDim, placement } = layout
  const value = `${keyHeads}×${keyDim} keys, ${valueHeads}×${valueDim} values`
  const wrong = (need: string) => new InvalidArgument({ name: "heads and dims", value, need })
  if (placement === "perLayer") return
  if (placement === "latent") {
    return keyHeads === valueHeads && valueDim <= keyDim
      ? undefined
      : wrong("as many heads of values, at most as wide, where values are part of the keys")
  }
  return keyHeads === valueHeads && keyDim === valueDim
    ? undefined
    : wrong(`equal for keys and values, or the placement "perLayer"`)
}

/** What is asked of a part that the layout lacks is answered by no number: a mistake, thrown with its name. */
const part = <A>(found: A | undefined, name: string, value: number, count: number): A => {
  if (found !== undefined) return found
  throw new InvalidArgument({ name, value, need: `a whole number from 0 to ${count - 1}` })
}

/** The group a layer belongs to. */
export const groupOf = (layout: Layout, layer: number): number =>
  layout.groups.findIndex((group) => group.layers.includes(layer))

/** Heads and dim of one half. */
export const half = (layout: Layout, kind: Kind): { heads: number; dim: number } =>
  kind === "keys"
    ? { heads: layout.keyHeads, dim: layout.keyDim }
    : { heads: layout.valueHeads, dim: layout.valueDim }

/** What rows of this layout are given in. */
export const givenAs = ({ dtype }: Layout): Given => dtype === "int8" ? "f32" : dtype

/** How many pools the layout needs. */
export const numPools = (layout: Layout): number => {
  switch (layout.placement) {
    case "perLayer":
      return 2 * layout.layers
    case "interleaved":
      return layout.layers
    case "fused":
    case "latent":
      return layout.groups.length
  }
}

/** Strides of one layer's keys or values, in elements. */
export const strides = (layout: Layout, layer: number, kind: Kind): Strides => {
  const { blockSize, groups } = layout
  const group = groupOf(layout, layer)
  const { layers } = part(groups[group], "layer", layer, layout.layers)
  const { heads, dim } = half(layout, kind)
  const size = width(layout.dtype, dim)
  const second = kind === "values" ? 1 : 0
  switch (layout.placement) {
    case "perLayer":
      return {
        pool: 2 * layer + second,
        base: 0,
        block: heads * blockSize * size,
        head: blockSize * size,
        slot: size,
      }
    case "interleaved":
      return {
        pool: layer,
        base: second * size,
        block: blockSize * 2 * heads * size,
        head: 2 * size,
        slot: 2 * heads * size,
      }
    case "fused": {
      const plane = blockSize * heads * size
      return {
        pool: group,
        base: (second * layers.length + layers.indexOf(layer)) * plane,
        block: 2 * layers.length * plane,
        head: size,
        slot: heads * size,
      }
    }
    case "latent": {
      const row = width(layout.dtype, layout.keyDim) // of values too: they lie in the keys
      const plane = blockSize * heads * row
      return {
        pool: group,
        base: layers.indexOf(layer) * plane,
        block: layers.length * plane,
        head: row,
        slot: heads * row,
      }
    }
  }
}

/** Elements of each pool for `numBlocks[group]` usable blocks and the dummy after them. */
export const poolElements = (
  layout: Layout,
  numBlocks: ReadonlyArray<number>,
): ReadonlyArray<number> => {
  const elements = new Array<number>(numPools(layout)).fill(0)
  for (let layer = 0; layer < layout.layers; layer++) {
    for (const kind of ["keys", "values"] as const) {
      const { pool, block } = strides(layout, layer, kind)
      elements[pool] = block * (numBlocks[groupOf(layout, layer)]! + 1)
    }
  }
  return elements
}

/** Kernels number the elements of a pool by 32 bits: what is wrong with pools of so many. */
export const offsetsError = (
  layout: Layout,
  numBlocks: ReadonlyArray<number>,
): InvalidArgument | undefined => {
  for (const [pool, value] of poolElements(layout, numBlocks).entries()) {
    if (value <= 2 ** 32) continue
    const need = `at most ${2 ** 32}, so that a 32-bit offset reaches each: use fewer blocks`
    return new InvalidArgument({ name: `the elements of pool ${pool}`, value, need })
  }
}

/** Bytes one block of a group takes in all of its layers, keys and values together. */
export const blockBytes = (layout: Layout, group: number): number => {
  const row = (kind: Kind): number => {
    if (kind === "values" && layout.placement === "latent") return 0
    const { heads, dim } = half(layout, kind)
    return heads * width(layout.dtype, dim)
  }
  const { layers } = part(layout.groups[group], "group", group, layout.groups.length)
  const elements = layers.length * layout.blockSize * (row("keys") + row("values"))
  return DTypes.bytes(layout.dtype, elements)
}
