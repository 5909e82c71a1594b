/**
 * Weights in tiles of 32 rows by 32 columns: the bits of 32 blocks, in the order in which eight lanes of a
 * shader read them, each lane four rows.
 *
 * ```text
 * weight  [n / 32][k / 32] tiles
 * tile    words [words][32 rows], then scales
 * word    of one row: 2 columns of f16 or bf16, 4 of q8_0; of q4_0 and q4_1 columns 4w … 4w + 3 in the low
 *         halves of its bytes and 16 + 4w … 19 + 4w in the high halves, as files have them
 * scales  q8_0, q4_0: f16 [32 rows]    q4_1: (f16 d, f16 m) [32 rows]
 * ```
 *
 * So one vec4 of words is the same columns of four rows, and eight lanes read 128 bytes straight ahead. A tile
 * is as long as its 32 blocks: nothing is added, rounded or lost.
 *
 * @module
 */
import type { Weight } from "./decode.ts"
import type { ArrayOf, DType, Tiled } from "./kernel.ts"

/** The stored form that a tiled one is made of. */
export type Stored = Exclude<Weight, "f32" | "q5_0" | "q4_K" | "q6_K">

/** Rows, and columns, of a tile. */
export const side = 32

/** The tiled form of a stored one; the others are read as they are. */
export const tiledOf: { readonly [D in Stored]: Tiled } = {
  f16: "f16_tiled",
  bf16: "bf16_tiled",
  q8_0: "q8_0_tiled",
  q4_0: "q4_0_tiled",
  q4_1: "q4_1_tiled",
}

/** The stored form of a tiled one. */
export const storedOf: { readonly [D in Tiled]: Stored } = {
  f16_tiled: "f16",
  bf16_tiled: "bf16",
  q8_0_tiled: "q8_0",
  q4_0_tiled: "q4_0",
  q4_1_tiled: "q4_1",
}

/** Whether a dtype has a tiled form. */
export const isTileable = (dtype: DType): dtype is Stored => Object.hasOwn(tiledOf, dtype)

/** Whether a dtype is tiled. */
export const isTiled = (dtype: DType): dtype is Tiled => Object.hasOwn(storedOf, dtype)

/** The tiled dtypes. */
export const tileds: ReadonlyArray<Tiled> = Object.values(tiledOf)

/** Bytes of scales before the words of a row's 32 columns, and these words. */
const parts: { readonly [D in Stored]: { readonly scale: 0 | 2 | 4; readonly words: number } } = {
  f16: { scale: 0, words: 16 },
  bf16: { scale: 0, words: 16 },
  q8_0: { scale: 2, words: 8 },
  q4_0: { scale: 2, words: 4 },
  q4_1: { scale: 4, words: 4 },
}

/** Calls `f` with each 16 bits of a weight: their places in tiles and in stored rows. */
const eachHalf = (
  dtype: Stored,
  n: number,
  k: number,
  f: (tiled: number, stored: number) => void,
): void => {
  const { scale, words } = parts[dtype]
  const [halves, scales] = [2 * words, scale / 2]
  let tile = 0
  for (let from = 0; from < n; from += side) {
    for (let column = 0; column < k; column += side) {
      for (let row = 0; row < side; row++) {
        const stored = ((from + row) * k + column) / side * (halves + scales)
        for (let i = 0; i < scales; i++) f(tile + side * halves + row * scales + i, stored + i)
        for (let i = 0; i < halves; i++) {
          f(tile + (i & ~1) * side + 2 * row + (i & 1), stored + scales + i)
        }
      }
      tile += side * (halves + scales)
    }
  }
}

const halvesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint16Array =>
  new Uint16Array(buffer, byteOffset, byteLength / 2)

/** Tiles a stored weight of `n` rows by `k` columns, both multiples of 32. O(n · k). */
export const tile = (
  dtype: Stored,
  weight: ArrayOf[Weight],
  n: number,
  k: number,
): Uint32Array<ArrayBuffer> => {
  const out = new Uint32Array(weight.byteLength / 4)
  const [from, to] = [halvesOf(weight), halvesOf(out)]
  eachHalf(dtype, n, k, (tiled, stored) => to[tiled] = from[stored]!)
  return out
}

/** The stored weight that `tile` made these tiles of. O(n · k). */
export const untile = (
  dtype: Tiled,
  tiles: Uint32Array,
  n: number,
  k: number,
): Uint8Array | Uint16Array => {
  const out = new Uint16Array(2 * tiles.length)
  const from = halvesOf(tiles)
  eachHalf(storedOf[dtype], n, k, (tiled, stored) => out[stored] = from[tiled]!)
  return dtype.startsWith("q") ? new Uint8Array(out.buffer) : out
}
