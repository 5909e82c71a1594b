/**
 * Weights in tiles of 32 rows: the bits of 32 blocks, in the order in which eight lanes of a shader read them,
 * each lane four rows.
 *
 * ```text
 * weight  [n / 32][k / columns] tiles: columns are 32, of the K forms 256
 * tile    words [words][32 rows]: those of its groups in turn, then scales
 * group   the columns of one scale: 32, of q6_K 16
 * words   2 columns of f16 or bf16 each, 4 of q8_0; of the others columns 4w … 4w + 3 in the low halves of the
 *         bytes, those half a group later in the high halves, and before the first of q5_0 and q6_K one word of
 *         the bits above these
 * above   q5_0: a bit a column in turn    q6_K: a byte b has bits of columns b, 4 + b, 8 + b, 12 + b
 * scales  q8_0, q4_0, q5_0: f16 [32 rows]    q4_1: words (f16 d, f16 m)    q4_K: words (f16 d, f16 m), three
 *         as files have them    q6_K: four words of 16 signed bytes, then f16 [32 rows]
 * ```
 *
 * So one vec4 of words is the same columns of four rows, and eight lanes read 128 bytes straight ahead. A tile
 * is as long as its 32 blocks: nothing is added, rounded or lost.
 *
 * @module
 */
import type { Weight } from "./decode.ts"
import type { ArrayOf, DType, Tiled } from "./kernel.ts"
import { type Move, moves } from "./regroup.ts"

/** The stored form that a tiled one is made of. */
export type Stored = Exclude<Weight, "f32">

/** Rows of a tile. */
export const side = 32

/** The tiled form of a stored one; f32 is read as it is. */
export const tiledOf: { readonly [D in Stored]: Tiled } = {
  f16: "f16_tiled",
  bf16: "bf16_tiled",
  q8_0: "q8_0_tiled",
  q4_0: "q4_0_tiled",
  q4_1: "q4_1_tiled",
  q5_0: "q5_0_tiled",
  q4_K: "q4_K_tiled",
  q6_K: "q6_K_tiled",
}

/** The stored form of a tiled one. */
export const storedOf: { readonly [D in Tiled]: Stored } = {
  f16_tiled: "f16",
  bf16_tiled: "bf16",
  q8_0_tiled: "q8_0",
  q4_0_tiled: "q4_0",
  q4_1_tiled: "q4_1",
  q5_0_tiled: "q5_0",
  q4_K_tiled: "q4_K",
  q6_K_tiled: "q6_K",
}

/** Whether a dtype has a tiled form. */
export const isTileable = (dtype: DType): dtype is Stored => Object.hasOwn(tiledOf, dtype)

/** Whether a dtype is tiled. */
export const isTiled = (dtype: DType): dtype is Tiled => Object.hasOwn(storedOf, dtype)

/** The tiled dtypes. */
export const tileds: ReadonlyArray<Tiled> = Object.values(tiledOf)

/** Columns of a tile. */
export const columnsOf: { readonly [D in Stored]: 32 | 256 } = {
  f16: 32,
  bf16: 32,
  q8_0: 32,
  q4_0: 32,
  q4_1: 32,
  q5_0: 32,
  q4_K: 256,
  q6_K: 256,
}

/** The 16 bits of a block's columns in one row: how many, and how many of them, at its head, a tile has last. */
const blocks: { readonly [D in Stored]: { readonly halves: number; readonly head: number } } = {
  f16: { halves: 32, head: 0 },
  bf16: { halves: 32, head: 0 },
  q8_0: { halves: 17, head: 1 },
  q4_0: { halves: 9, head: 1 },
  q4_1: { halves: 10, head: 2 },
  q5_0: { halves: 11, head: 1 },
  q4_K: { halves: 72, head: 8 },
  q6_K: { halves: 105, head: 0 },
}

/** Calls `f` with each 16 bits of a weight: their places in tiles and in stored rows. */
const eachHalf = (
  dtype: Stored,
  n: number,
  k: number,
  f: (tiled: number, stored: number) => void,
): void => {
  const { halves, head } = blocks[dtype]
  const across = k / columnsOf[dtype]
  let tile = 0
  for (let from = 0; from < n; from += side) {
    for (let block = 0; block < across; block++) {
      for (let row = 0; row < side; row++) {
        const stored = ((from + row) * across + block) * halves
        for (let i = 0; i < halves; i++) {
          // One half that has no other to make a word with is the last.
          const word = (i & ~1) * side + 2 * row + (i & 1)
          const place = i === halves - 1 && halves % 2 === 1 ? i * side + row : word
          f(tile + place, stored + (i + head < halves ? i + head : i + head - halves))
        }
      }
      tile += side * halves
    }
  }
}

const halvesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint16Array =>
  new Uint16Array(buffer, byteOffset, byteLength / 2)

/** Makes these moves in each tile. */
const move = (dtype: Stored, tiles: Uint32Array, moves: ReadonlyArray<Move>): void => {
  if (moves.length === 0) return
  const words = tiles.slice()
  const size = side / 2 * blocks[dtype].halves
  for (let tile = 0; tile < words.length; tile += size) {
    for (const { from, to } of moves) {
      const bits = 8 / from.length
      const mask = (2 ** bits - 1) * 0x01010101
      for (let row = tile; row < tile + side; row++) {
        for (let i = 0; i < to.length; i++) {
          let word = 0
          for (let j = 0; j < from.length; j++) {
            word |= (words[row + side * from[j]!]! >>> bits * i & mask) << bits * j
          }
          tiles[row + side * to[i]!] = word
        }
      }
    }
  }
}

/** Tiles a stored weight of `n` rows by `k` columns, both of whole tiles, into `out`. O(n · k). */
export const tile = (
  dtype: Stored,
  weight: ArrayOf[Weight],
  n: number,
  k: number,
  out: Uint32Array<ArrayBuffer> = new Uint32Array(weight.byteLength / 4),
): Uint32Array<ArrayBuffer> => {
  const [from, to] = [halvesOf(weight), halvesOf(out)]
  eachHalf(dtype, n, k, (tiled, stored) => to[tiled] = from[stored]!)
  move(dtype, out, moves[dtype])
  return out
}

/** The stored weight that `tile` made these tiles of. O(n · k). */
export const untile = (
  dtype: Tiled,
  tiles: Uint32Array,
  n: number,
  k: number,
): Uint8Array | Uint16Array => {
  const stored = storedOf[dtype]
  const words = tiles.slice()
  move(stored, words, moves[stored].map(({ from, to }) => ({ from: to, to: from })))
  const out = new Uint16Array(2 * tiles.length)
  const from = halvesOf(words)
  eachHalf(stored, n, k, (tiled, stored) => out[stored] = from[tiled]!)
  return dtype.startsWith("q") ? new Uint8Array(out.buffer) : out
}
