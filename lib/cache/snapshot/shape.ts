/** What of a layout a snapshot depends on: rows are stored by position, so blocks and placements are not in it. @module */
import type { Result } from "effect"
import { type InvalidArgument, LayoutMismatch } from "../../errors.ts"
import * as Layout from "../Layout.ts"

/** Sizes that the arena a snapshot is restored to must share. */
export interface Shape {
  readonly dtype: Layout.Storage
  readonly groups: ReadonlyArray<Layout.Group>
  readonly keyHeads: number
  readonly keyDim: number
  readonly valueHeads: number
  readonly valueDim: number
  /** Are values part of the keys, and not stored? */
  readonly latent: boolean
}

/** The shape of a layout. */
export const of = (layout: Layout.Layout): Shape => {
  const { dtype, groups, keyHeads, keyDim, valueHeads, valueDim, placement } = layout
  const latent = placement === "latent"
  return { dtype, groups, keyHeads, keyDim, valueHeads, valueDim, latent }
}

/** A layout of this shape, which says what rows take; its blocks hold one token. Fails where there can be none. */
export const layoutOf = (shape: Shape): Result.Result<Layout.Layout, InvalidArgument> => {
  const { latent, ...sizes } = shape
  const layers = shape.groups.reduce((sum, group) => sum + group.layers.length, 0)
  const placement = latent ? "latent" : "perLayer"
  return Layout.make({ ...sizes, layers, placement, blockSize: 1 })
}

const groupText = ({ layers, window }: Layout.Group): string =>
  layers.join(" ") + (window === undefined ? "" : ` (window ${window})`)

/** Every field, as errors say it. */
const texts = (shape: Shape): ReadonlyArray<readonly [field: string, value: string]> => [
  ["dtype", shape.dtype],
  ["groups of layers", shape.groups.map(groupText).join(", ")],
  ["number of key heads", `${shape.keyHeads}`],
  ["key dim", `${shape.keyDim}`],
  ["number of value heads", `${shape.valueHeads}`],
  ["value dim", `${shape.valueDim}`],
  ["place of values", shape.latent ? "in the keys" : "beside the keys"],
]

/** The first field in which a snapshot is not as its arena. */
export const mismatch = (needed: Shape, found: Shape): LayoutMismatch | undefined => {
  const theirs = texts(found)
  for (const [i, [field, expected]] of texts(needed).entries()) {
    const [, actual] = theirs[i]!
    if (actual !== expected) return new LayoutMismatch({ field, expected, actual })
  }
}
