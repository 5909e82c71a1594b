/**
 * A weight matrix times one vector, read where it is stored: for a row that is used once.
 *
 * Four rows of the weight at a time, since one chain of additions waits for itself; past the last row the
 * last one is taken again, so there is no tail to write. Each sum runs over k in order.
 *
 * @module
 */
import { type Decode, decode, int8, type Weight } from "./decode.ts"
import { bf16, f16 } from "./half.ts"
import type { ArrayOf } from "./kernel.ts"

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

const halves = (values: Float32Array): Dot => (w, n, k, x, from, out, to) => {
  for (let j = 0; j < n; j += 4) {
    const j1 = Math.min(j + 1, n - 1), j2 = Math.min(j + 2, n - 1), j3 = Math.min(j + 3, n - 1)
    const w0 = j * k, w1 = j1 * k, w2 = j2 * k, w3 = j3 * k
    let a = 0, b = 0, c = 0, d = 0
    for (let i = 0; i < k; i++) {
      const v = x[from + i]!
      a += values[w[w0 + i]!]! * v
      b += values[w[w1 + i]!]! * v
      c += values[w[w2 + i]!]! * v
      d += values[w[w3 + i]!]! * v
    }
    out[to + j] = a
    out[to + j1] = b
    out[to + j2] = c
    out[to + j3] = d
  }
}

/** Four rows, 256 weights at a time, decoded: for forms that take more than an addition to put together. */
const pieces = (decode: Decode): Dot => (w, n, k, x, from, out, to) => {
  const scratch = new Float64Array(1024)
  for (let j = 0; j < n; j += 4) {
    const j1 = Math.min(j + 1, n - 1), j2 = Math.min(j + 2, n - 1), j3 = Math.min(j + 3, n - 1)
    let a = 0, b = 0, c = 0, d = 0
    for (let at = 0; at < k; at += 256) {
      const size = Math.min(256, k - at)
      decode(w, j * k + at, size, scratch, 0)
      decode(w, j1 * k + at, size, scratch, 256)
      decode(w, j2 * k + at, size, scratch, 512)
      decode(w, j3 * k + at, size, scratch, 768)
      for (let i = 0; i < size; i++) {
        const v = x[from + at + i]!
        a += scratch[i]! * v
        b += scratch[i + 256]! * v
        c += scratch[i + 512]! * v
        d += scratch[i + 768]! * v
      }
    }
    out[to + j] = a
    out[to + j1] = b
    out[to + j2] = c
    out[to + j3] = d
  }
}

/** A dot for each dtype. One loop each, so that each sees one kind of array. */
export const dot: Readonly<Record<Weight, Dot>> = {
  f16: halves(f16),
  bf16: halves(bf16),
  q5_0: pieces(decode.q5_0),
  q4_K: pieces(decode.q4_K),
  q6_K: pieces(decode.q6_K),
  f32: (w, n, k, x, from, out, to) => {
    for (let j = 0; j < n; j += 4) {
      const j1 = Math.min(j + 1, n - 1), j2 = Math.min(j + 2, n - 1), j3 = Math.min(j + 3, n - 1)
      const w0 = j * k, w1 = j1 * k, w2 = j2 * k, w3 = j3 * k
      let a = 0, b = 0, c = 0, d = 0
      for (let i = 0; i < k; i++) {
        const v = x[from + i]!
        a += w[w0 + i]! * v
        b += w[w1 + i]! * v
        c += w[w2 + i]! * v
        d += w[w3 + i]! * v
      }
      out[to + j] = a
      out[to + j1] = b
      out[to + j2] = c
      out[to + j3] = d
    }
  },
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
}
