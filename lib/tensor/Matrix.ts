/** Weights of two axes, in one piece or in several. @module */
import type { Weight } from "../../kernels/decode.ts"
import type { Tiled } from "../../kernels/kernel.ts"
import { columnsOf, isTileable, side, tiledOf } from "../../kernels/tile.ts"
import * as DTypes from "./DType.ts"
import * as Shape from "./Shape.ts"
import type { Tensor } from "./value.ts"

export type { Tiled, Weight }

/** Some rows of a weight, stored as files do or tiled. */
export type Part<A extends string> = Tensor<Weight | Tiled, A>

/** A weight whose rows lie in several tensors in turn: no buffer holds them all, or they are not whole tiles. */
export interface Rows<out A extends string> extends Shape.Shaped<A> {
  readonly parts: ReadonlyArray<Part<A>>
}

/** A weight `[out, in]` in any form. */
export type Matrix<A extends string> = Part<A> | Rows<A>

/** Its rows, in order. */
export const partsOf = <A extends string>(w: Matrix<A>): ReadonlyArray<Part<A>> =>
  "parts" in w ? w.parts : [w]

/** The shape of `x` with its last axis replaced. */
export const contracted = <A extends string, N extends string>(
  x: Shape.Shaped<A>,
  axis: string,
  size: number,
): Shape.Shaped<Shape.ReplaceLast<A, N>> => ({
  axes: [...Shape.words(x.axes).slice(0, -1), axis].join(" ") as Shape.ReplaceLast<A, N>,
  shape: [...x.shape.slice(0, -1), size],
})

/** What a device asks of weights. */
export interface Wishes {
  /** `tiled`: for register kernels, where the form has tiles, and rows and columns are whole ones. */
  readonly weights: "stored" | "tiled"
  /** Bytes of the largest buffer that can be made and bound. */
  readonly maxBufferBytes: number
}

/** Some rows of a weight, in the form that a device wants. */
export interface Piece {
  readonly dtype: Weight | Tiled
  /** The first of them. */
  readonly first: number
  readonly rows: number
}

/**
 * Cuts a stored weight of `n` rows by `k` columns into what a device wants: whole tiles first, then the rows
 * that make none, each piece as many rows as a buffer holds.
 */
export const pieces = (
  dtype: Weight,
  n: number,
  k: number,
  { weights, maxBufferBytes }: Wishes,
): ReadonlyArray<Piece> => {
  const tiles = weights === "tiled" && isTileable(dtype) && k % columnsOf[dtype] === 0
    ? n - n % side
    : 0
  const rowBytes = DTypes.bytes(dtype, k)
  const out: Array<Piece> = []
  const cut = (from: number, to: number, unit: number, form: Weight | Tiled) => {
    const most = Math.max(1, Math.floor(maxBufferBytes / (unit * rowBytes))) * unit
    for (let first = from; first < to; first += most) {
      out.push({ dtype: form, first, rows: Math.min(most, to - first) })
    }
  }
  if (isTileable(dtype)) cut(0, tiles, side, tiledOf[dtype])
  cut(tiles, n, 1, dtype)
  return out
}
