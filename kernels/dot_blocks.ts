/**
 * Dots of blocks of 32, whose numbers are put together as they are used: a form each, of the same shape.
 *
 * @module
 */
import { int8, type Weight } from "./decode.ts"
import { f16 } from "./half.ts"
import type { ArrayOf, Quantised } from "./kernel.ts"

/** `out[to + j] = Σ weight[j, i] · x[from + i]` for the `n` rows of `weight`, `k` long. */
export type Dot = (
  weight: ArrayOf[Weight],
  n: number,
  k: number,
  x: Float32Array,
  from: number,
  out: Float32Array,
  to: number,
) => void

/** A dot for each dtype. */
export const blocks: Readonly<Record<Exclude<Quantised, "q4_K" | "q6_K">, Dot>> = {
  q8_0: (w, n, k, x, from, out, to) => {
    const row = k / 32 * 34
    for (let j = 0; j < n; j += 4) {
      const j1 = Math.min(j + 1, n - 1), j2 = Math.min(j + 2, n - 1), j3 = Math.min(j + 3, n - 1)
      let w0 = j * row, w1 = j1 * row, w2 = j2 * row, w3 = j3 * row
      let a = 0, b = 0, c = 0, d = 0
      for (let at = from; at < from + k; at += 32) {
        const d0 = f16[w[w0]! | w[w0 + 1]! << 8]!, d1 = f16[w[w1]! | w[w1 + 1]! << 8]!
        const d2 = f16[w[w2]! | w[w2 + 1]! << 8]!, d3 = f16[w[w3]! | w[w3 + 1]! << 8]!
        w0 += 2, w1 += 2, w2 += 2, w3 += 2
        for (let i = 0; i < 32; i++) {
          const v = x[at + i]!
          a += int8[w[w0 + i]!]! * d0 * v
          b += int8[w[w1 + i]!]! * d1 * v
          c += int8[w[w2 + i]!]! * d2 * v
          d += int8[w[w3 + i]!]! * d3 * v
        }
        w0 += 32, w1 += 32, w2 += 32, w3 += 32
      }
      out[to + j] = a
      out[to + j1] = b
      out[to + j2] = c
      out[to + j3] = d
    }
  },
  q4_0: (w, n, k, x, from, out, to) => {
    const row = k / 32 * 18
    for (let j = 0; j < n; j += 4) {
      const j1 = Math.min(j + 1, n - 1), j2 = Math.min(j + 2, n - 1), j3 = Math.min(j + 3, n - 1)
      let w0 = j * row, w1 = j1 * row, w2 = j2 * row, w3 = j3 * row
      let a = 0, b = 0, c = 0, d = 0
      for (let at = from; at < from + k; at += 32) {
        const d0 = f16[w[w0]! | w[w0 + 1]! << 8]!, d1 = f16[w[w1]! | w[w1 + 1]! << 8]!
        const d2 = f16[w[w2]! | w[w2 + 1]! << 8]!, d3 = f16[w[w3]! | w[w3 + 1]! << 8]!
        w0 += 2, w1 += 2, w2 += 2, w3 += 2
        for (let i = 0; i < 16; i++) {
          const v = x[at + i]!
          a += ((w[w0 + i]! & 15) - 8) * d0 * v
          b += ((w[w1 + i]! & 15) - 8) * d1 * v
          c += ((w[w2 + i]! & 15) - 8) * d2 * v
          d += ((w[w3 + i]! & 15) - 8) * d3 * v
        }
        for (let i = 0; i < 16; i++) {
          const v = x[at + 16 + i]!
          a += ((w[w0 + i]! >> 4) - 8) * d0 * v
          b += ((w[w1 + i]! >> 4) - 8) * d1 * v
          c += ((w[w2 + i]! >> 4) - 8) * d2 * v
          d += ((w[w3 + i]! >> 4) - 8) * d3 * v
        }
        w0 += 16, w1 += 16, w2 += 16, w3 += 16
      }
      out[to + j] = a
      out[to + j1] = b
      out[to + j2] = c
      out[to + j3] = d
    }
  },
  q4_1: (w, n, k, x, from, out, to) => {
    const row = k / 32 * 20
    for (let j = 0; j < n; j += 4) {
      const j1 = Math.min(j + 1, n - 1), j2 = Math.min(j + 2, n - 1), j3 = Math.min(j + 3, n - 1)
      let w0 = j * row, w1 = j1 * row, w2 = j2 * row, w3 = j3 * row
      let a = 0, b = 0, c = 0, d = 0
      for (let at = from; at < from + k; at += 32) {
        const d0 = f16[w[w0]! | w[w0 + 1]! << 8]!, d1 = f16[w[w1]! | w[w1 + 1]! << 8]!
        const d2 = f16[w[w2]! | w[w2 + 1]! << 8]!, d3 = f16[w[w3]! | w[w3 + 1]! << 8]!
        const m0 = f16[w[w0 + 2]! | w[w0 + 3]! << 8]!, m1 = f16[w[w1 + 2]! | w[w1 + 3]! << 8]!
        const m2 = f16[w[w2 + 2]! | w[w2 + 3]! << 8]!, m3 = f16[w[w3 + 2]! | w[w3 + 3]! << 8]!
        w0 += 4, w1 += 4, w2 += 4, w3 += 4
        for (let i = 0; i < 16; i++) {
          const v = x[at + i]!
          a += ((w[w0 + i]! & 15) * d0 + m0) * v
          b += ((w[w1 + i]! & 15) * d1 + m1) * v
          c += ((w[w2 + i]! & 15) * d2 + m2) * v
          d += ((w[w3 + i]! & 15) * d3 + m3) * v
        }
        for (let i = 0; i < 16; i++) {
          const v = x[at + 16 + i]!
          a += ((w[w0 + i]! >> 4) * d0 + m0) * v
          b += ((w[w1 + i]! >> 4) * d1 + m1) * v
          c += ((w[w2 + i]! >> 4) * d2 + m2) * v
          d += ((w[w3 + i]! >> 4) * d3 + m3) * v
        }
        w0 += 16, w1 += 16, w2 += 16, w3 += 16
      }
      out[to + j] = a
      out[to + j1] = b
      out[to + j2] = c
      out[to + j3] = d
    }
  },
  q5_0: (w, n, k, x, from, out, to) => {
    const row = k / 32 * 22
    for (let j = 0; j < n; j += 4) {
      const j1 = Math.min(j + 1, n - 1), j2 = Math.min(j + 2, n - 1), j3 = Math.min(j + 3, n - 1)
      let w0 = j * row, w1 = j1 * row, w2 = j2 * row, w3 = j3 * row
      let a = 0, b = 0, c = 0, d = 0
      for (let at = from; at < from + k; at += 32) {
        const d0 = f16[w[w0]! | w[w0 + 1]! << 8]!, d1 = f16[w[w1]! | w[w1 + 1]! << 8]!
        const d2 = f16[w[w2]! | w[w2 + 1]! << 8]!, d3 = f16[w[w3]! | w[w3 + 1]! << 8]!
        let h0 = w[w0 + 2]! << 4 | w[w0 + 3]! << 12, h1 = w[w1 + 2]! << 4 | w[w1 + 3]! << 12
        let h2 = w[w2 + 2]! << 4 | w[w2 + 3]! << 12, h3 = w[w3 + 2]! << 4 | w[w3 + 3]! << 12
        w0 += 6, w1 += 6, w2 += 6, w3 += 6
        for (let i = 0; i < 16; i++) {
          const v = x[at + i]!
          a += ((w[w0 + i]! & 15 | h0 >> i & 16) - 16) * d0 * v
          b += ((w[w1 + i]! & 15 | h1 >> i & 16) - 16) * d1 * v
          c += ((w[w2 + i]! & 15 | h2 >> i & 16) - 16) * d2 * v
          d += ((w[w3 + i]! & 15 | h3 >> i & 16) - 16) * d3 * v
        }
        h0 = w[w0 - 2]! << 4 | w[w0 - 1]! << 12, h1 = w[w1 - 2]! << 4 | w[w1 - 1]! << 12
        h2 = w[w2 - 2]! << 4 | w[w2 - 1]! << 12, h3 = w[w3 - 2]! << 4 | w[w3 - 1]! << 12
        for (let i = 0; i < 16; i++) {
          const v = x[at + 16 + i]!
          a += ((w[w0 + i]! >> 4 | h0 >> i & 16) - 16) * d0 * v
          b += ((w[w1 + i]! >> 4 | h1 >> i & 16) - 16) * d1 * v
          c += ((w[w2 + i]! >> 4 | h2 >> i & 16) - 16) * d2 * v
          d += ((w[w3 + i]! >> 4 | h3 >> i & 16) - 16) * d3 * v
        }
        w0 += 16, w1 += 16, w2 += 16, w3 += 16
      }
      out[to + j] = a
      out[to + j1] = b
      out[to + j2] = c
      out[to + j3] = d
    }
  },
}
