/** Rows of keys and values as each pool stores them, by the letter of the format. @module */
import type { Pool } from "../../kernels/pool.ts"
import * as int8 from "../../testing/world/int8.ts"
import { decoded, halves } from "./values.ts"

/** A pool's elements, or those of a row. */
export type Elements = Float32Array | Uint16Array | Uint8Array

/** Elements a row of `dim` takes, in whole words. */
export const widthOf = (dtype: Pool, dim: number): number =>
  ({ f32: dim, f16: dim + dim % 2, bf16: dim + dim % 2, int8: 4 + 4 * Math.ceil(dim / 4) })[dtype]

/** A row as stored, with what fills its last word. */
export const packed = (dtype: Pool, row: Float32Array): Elements => {
  if (dtype === "f32") return row
  if (dtype === "int8") return int8.image(int8.quantised([...row]))
  const out = new Uint16Array(widthOf(dtype, row.length))
  out.set(halves(dtype, row))
  return out
}

/** What reading a stored row gives. */
export const unpacked = (dtype: Pool, row: Elements, dim: number): ReadonlyArray<number> =>
  dtype === "int8"
    ? int8.dequantised(int8.read(row as Uint8Array, dim))
    : decoded(dtype, row.slice(0, dim))

/** A pool of `n` elements that may not be read: as floats near `value`, or not a number if it is none. */
export const poisoned = (dtype: Pool, value: number, n: number): Elements => {
  if (dtype === "f32") return new Float32Array(n).fill(value)
  if (dtype === "int8") return new Uint8Array(n).fill(Number.isNaN(value) ? 0xff : 0x46)
  return new Uint16Array(n).fill(halves(dtype, Float32Array.of(value))[0]!)
}
