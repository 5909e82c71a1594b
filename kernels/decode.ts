/**
 * Rows of any stored form as f64: for a row that is used more than once.
 *
 * Every stored weight is exact in f64, and but for q4_1 and q4_K its product with an f32 too, so that a row
 * decoded here and one read in place by `dot.ts` give the same sums, bit for bit.
 *
 * @module
 */
import { bf16, f16 } from "./half.ts"
import type { ArrayOf, Quantised } from "./kernel.ts"

/** How a weight may be stored. */
export type Weight = "f32" | "f16" | "bf16" | Quantised

/** The weights' dtypes. */
export const weights: ReadonlyArray<Weight> = [
  "f32",
  "f16",
  "bf16",
  "q8_0",
  "q4_0",
  "q4_1",
  "q5_0",
  "q4_K",
  "q6_K",
]

/** The 256 values of a signed byte: a load from here is faster than a conversion in V8. */
export const int8: Float64Array = Float64Array.from({ length: 256 }, (_, i) => (i << 24) >> 24)

/** Decodes `k` elements of `from`, beginning at element `at`, into `to`, beginning at `start`. */
export type Decode = (
  from: ArrayOf[Weight],
  at: number,
  k: number,
  to: Float64Array,
  start: number,
) => void

// q4_K packs eight scales and eight minima of six bits into 12 bytes: four of each whole, with the high two
// bits of four more, whose low four bits share the last four bytes.
const scaleOf = (from: ArrayOf[Weight], b: number, s: number): number =>
  s < 4 ? from[b + s]! & 63 : from[b + s + 4]! & 15 | from[b + s - 4]! >> 6 << 4
const leastOf = (from: ArrayOf[Weight], b: number, s: number): number =>
  s < 4 ? from[b + s + 4]! & 63 : from[b + s + 4]! >> 4 | from[b + s]! >> 6 << 4

/**
 * A decoder for each dtype; `at` and `k` are multiples of 32 or 256 where blocks are. One loop each, so that each
 * sees one kind of array: a loop that has seen two is several times slower.
 */
export const decode: Readonly<Record<Weight, Decode>> = {
  f32: (from, at, k, to, start) => {
    for (let i = 0; i < k; i++) to[start + i] = from[at + i]!
  },
  f16: (from, at, k, to, start) => {
    for (let i = 0; i < k; i++) to[start + i] = f16[from[at + i]!]!
  },
  bf16: (from, at, k, to, start) => {
    for (let i = 0; i < k; i++) to[start + i] = bf16[from[at + i]!]!
  },
  q8_0: (from, at, k, to, start) => {
    for (let i = 0, b = at / 32 * 34; i < k; i += 32, b += 34) {
      const d = f16[from[b]! | from[b + 1]! << 8]!
      for (let j = 0; j < 32; j++) to[start + i + j] = int8[from[b + 2 + j]!]! * d
    }
  },
  q4_0: (from, at, k, to, start) => {
    for (let i = 0, b = at / 32 * 18; i < k; i += 32, b += 18) {
      const d = f16[from[b]! | from[b + 1]! << 8]!
      for (let j = 0; j < 16; j++) {
        const two = from[b + 2 + j]!
        to[start + i + j] = ((two & 15) - 8) * d
        to[start + i + j + 16] = ((two >> 4) - 8) * d
      }
    }
  },
  q4_1: (from, at, k, to, start) => {
    for (let i = 0, b = at / 32 * 20; i < k; i += 32, b += 20) {
      const d = f16[from[b]! | from[b + 1]! << 8]!
      const m = f16[from[b + 2]! | from[b + 3]! << 8]!
      for (let j = 0; j < 16; j++) {
        const two = from[b + 4 + j]!
        to[start + i + j] = (two & 15) * d + m
        to[start + i + j + 16] = (two >> 4) * d + m
      }
    }
  },
  q5_0: (from, at, k, to, start) => {
    for (let i = start, b = at / 32 * 22; i < start + k; i += 32, b += 22) {
      const d = f16[from[b]! | from[b + 1]! << 8]!
      const low = from[b + 2]! | from[b + 3]! << 8, high = from[b + 4]! | from[b + 5]! << 8
      for (let j = 0; j < 16; j++) {
        const two = from[b + 6 + j]!
        to[i + j] = ((two & 15 | low >> j << 4 & 16) - 16) * d
        to[i + j + 16] = ((two >> 4 | high >> j << 4 & 16) - 16) * d
      }
    }
  },
  q4_K: (from, at, k, to, start) => {
    for (let i = start, b = at / 256 * 144; i < start + k; i += 256, b += 144) {
      const d = f16[from[b]! | from[b + 1]! << 8]!
      const m = f16[from[b + 2]! | from[b + 3]! << 8]!
      for (let s = 0; s < 8; s += 2) {
        const d0 = scaleOf(from, b + 4, s) * d, d1 = scaleOf(from, b + 4, s + 1) * d
        const m0 = leastOf(from, b + 4, s) * m, m1 = leastOf(from, b + 4, s + 1) * m
        const q = b + 16 + 16 * s, first = i + 32 * s
        for (let j = 0; j < 32; j++) {
          const two = from[q + j]!
          to[first + j] = (two & 15) * d0 - m0
          to[first + j + 32] = (two >> 4) * d1 - m1
        }
      }
    }
  },
  // Two halves of 128; 16 weights have a scale. A byte of four pairs of high bits serves weights 32 apart.
  q6_K: (from, at, k, to, start) => {
    for (let i = start, b = at / 256 * 210; i < start + k; i += 256, b += 210) {
      const d = f16[from[b + 208]! | from[b + 209]! << 8]!
      for (let t = 0; t < 4; t++) {
        const half = t >> 1, part = 16 * (t & 1)
        const s = b + 192 + 8 * half + (t & 1)
        const d0 = int8[from[s]!]! * d, d1 = int8[from[s + 2]!]! * d
        const d2 = int8[from[s + 4]!]! * d, d3 = int8[from[s + 6]!]! * d
        const low = b + 64 * half + part, high = b + 128 + 32 * half + part
        const first = i + 128 * half + part
        for (let j = 0; j < 16; j++) {
          const l = from[low + j]!, m = from[low + 32 + j]!, h = from[high + j]!
          to[first + j] = ((l & 15 | h << 4 & 48) - 32) * d0
          to[first + j + 32] = ((m & 15 | h << 2 & 48) - 32) * d1
          to[first + j + 64] = ((l >> 4 | h & 48) - 32) * d2
          to[first + j + 96] = ((m >> 4 | h >> 2 & 48) - 32) * d3
        }
      }
    }
  },
}
