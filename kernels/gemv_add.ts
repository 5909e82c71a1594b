/** A tiled weight times few rows, added to what is there: the end of a residual branch. @module */
import { add } from "./add.ts"
import { type Family, family } from "./family.ts"
import { gemv } from "./gemv.ts"
import { source } from "./gemv_add.wgsl.ts"
import { fold } from "./grid.ts"
import type { Tiled } from "./kernel.ts"
import { tileds } from "./tile.ts"

const spec = {
  name: "gemv_add",
  bindings: {
    x: "read f32[rows k]",
    weight: "read D[n k]",
    residual: "read f32[rows n]",
    out: "write f32[rows n]",
  },
  overrides: { WG: "u32" },
  params: { rows: "u32", k: "u32", n: "u32" },
} as const

/** The kernels, by the dtype of the weight; n and k are of whole tiles. */
export const gemvAdd: Family<typeof spec, Tiled> = family(spec, tileds, {
  source,
  grid: ({ rows, n }, { WG }) => fold(rows * n / 4, WG),
  twin: (dtype) => ({ x, weight, residual, out }, params, axes, overrides) => {
    gemv[dtype].twin({ x, weight, out }, params, axes, overrides)
    const n = out.length
    add.twin({ a: residual, b: out, out }, { n }, { n }, overrides)
  },
})
