/** A tiled weight times few rows. @module */
import { type Family, family } from "./family.ts"
import { source } from "./gemv.wgsl.ts"
import { fold } from "./grid.ts"
import type { Tiled } from "./kernel.ts"
import { linear } from "./linear.ts"
import { storedOf, tileds, untile } from "./tile.ts"

const spec = {
  name: "gemv",
  bindings: { x: "read f32[rows k]", weight: "read D[n k]", out: "write f32[rows n]" },
  overrides: { WG: "u32" },
  params: { rows: "u32", k: "u32", n: "u32" },
} as const

/** The kernels, by the dtype of the weight; n and k are of whole tiles. */
export const gemv: Family<typeof spec, Tiled> = family(spec, tileds, {
  source,
  grid: ({ rows, n }, { WG }) => fold(rows * n / 4, WG),
  twin: (dtype) => ({ x, weight, out }, params, axes, overrides) => {
    const stored = untile(dtype, weight, axes.n, axes.k)
    linear[storedOf[dtype]].twin({ x, weight: stored, out }, params, axes, overrides)
  },
})
