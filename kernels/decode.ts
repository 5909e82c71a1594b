/**
 * Rows of any stored form as f64: for a row that is used more than once.
 *
 * Every product of a stored weight and an f32 is exact in f64 (q4_1 aside), so a row decoded here and one
 * read in place by `dot.ts` give the same sums, bit for bit.
 *
 * @module
 */
import { bf16, f16 } from "./half.ts"
import type { ArrayOf } from "./kernel.ts"

/** How a weight may be stored. */
export type Weight = "f32" | "f16" | "bf16" | "q8_0" | "q4_0" | "q4_1"

/** The weights' dtypes. */
export const weights: ReadonlyArray<Weight> = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"]

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

/**
 * A decoder for each dtype; `at` and `k` are multiples of 32 where blocks are. One loop each, so that each
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
}
