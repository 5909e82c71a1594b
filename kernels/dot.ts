/**
 * A weight matrix times one vector, read where it is stored: for a row that is used once.
 *
 * Four rows of the weight at a time, since one chain of additions waits for itself; past the last row the
 * last one is taken again, so there is no tail to write. Each sum runs over k in order.
 *
 * @module
 */
import { type Decode, decode, type Weight } from "./decode.ts"
import { blocks, type Dot } from "./dot_blocks.ts"
import { bf16, f16 } from "./half.ts"

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

/** Four rows, a block of 256 of each at a time, decoded: the K forms gain little or nothing in place. */
const decoded = (decode: Decode): Dot => (w, n, k, x, from, out, to) => {
  const scratch = new Float64Array(1024)
  for (let j = 0; j < n; j += 4) {
    const j1 = Math.min(j + 1, n - 1), j2 = Math.min(j + 2, n - 1), j3 = Math.min(j + 3, n - 1)
    let a = 0, b = 0, c = 0, d = 0
    for (let at = 0; at < k; at += 256) {
      decode(w, j * k + at, 256, scratch, 0)
      decode(w, j1 * k + at, 256, scratch, 256)
      decode(w, j2 * k + at, 256, scratch, 512)
      decode(w, j3 * k + at, 256, scratch, 768)
      for (let i = 0; i < 256; i++) {
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
  ...blocks,
  f16: halves(f16),
  bf16: halves(bf16),
  q4_K: decoded(decode.q4_K),
  q6_K: decoded(decode.q6_K),
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
}
