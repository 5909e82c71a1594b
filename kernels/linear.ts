/** A weight matrix, in any stored form, times each row of `x`. @module */
import { decode, type Weight, weights } from "./decode.ts"
import { dot } from "./dot.ts"
import { type Family, family } from "./family.ts"
import { fold } from "./grid.ts"
import type { ArrayOf } from "./kernel.ts"
import { source } from "./linear.wgsl.ts"

const spec = {
  name: "linear",
  bindings: { x: "read f32[rows k]", weight: "read D[n k]", out: "write f32[rows n]" },
  overrides: { WG: "u32" },
  params: { rows: "u32", k: "u32", n: "u32" },
} as const

/**
 * Two rows of the weight, decoded once, with all rows of `x`, two by two. The sums run over k in the order
 * of `dot.ts`, so that a row's result does not depend on how many rows there are.
 */
const tiles = (
  dtype: Weight,
  weight: ArrayOf[Weight],
  x: Float64Array,
  out: Float32Array,
  rows: number,
  k: number,
  n: number,
): void => {
  const scratch = new Float64Array(2 * k)
  const u = scratch.subarray(0, k), v = scratch.subarray(k)
  for (let j = 0; j < n; j += 2) {
    const j1 = Math.min(j + 1, n - 1)
    decode[dtype](weight, j * k, k, u, 0)
    decode[dtype](weight, j1 * k, k, v, 0)
    for (let r = 0; r < rows; r += 2) {
      const r1 = Math.min(r + 1, rows - 1)
      const x0 = r * k, x1 = r1 * k
      let a = 0, b = 0, c = 0, d = 0
      for (let i = 0; i < k; i++) {
        const s = u[i]!, t = v[i]!, y = x[x0 + i]!, z = x[x1 + i]!
        a += s * y
        b += t * y
        c += s * z
        d += t * z
      }
      out[r * n + j] = a
      out[r * n + j1] = b
      out[r1 * n + j] = c
      out[r1 * n + j1] = d
    }
  }
}

/** The kernels, by the dtype of the weight. */
export const linear: Family<typeof spec, Weight> = family(spec, weights, {
  source,
  grid: ({ rows, n }, { WG }) => fold(rows * n, WG),
  twin: (dtype) => ({ x, weight, out }, _, { rows, k, n }) => {
    // Decoding a row pays from the fourth use.
    if (rows > 3) return tiles(dtype, weight, new Float64Array(x), out, rows, k, n)
    for (let r = 0; r < rows; r++) dot[dtype](weight, n, k, x, r * k, out, r * n)
  },
})
