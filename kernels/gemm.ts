/** A tiled weight times many rows. @module */
import { type Family, family } from "./family.ts"
import { source } from "./gemm.wgsl.ts"
import { gemv } from "./gemv.ts"
import { fold } from "./grid.ts"
import type { Tiled } from "./kernel.ts"
import { tileds } from "./tile.ts"

const spec = {
  name: "gemm",
  bindings: { x: "read f32[rows k]", weight: "read D[n k]", out: "write f32[rows n]" },
  overrides: { WG: "u32" },
  params: { rows: "u32", k: "u32", n: "u32" },
} as const

/** The kernels, by the dtype of the weight; n and k are of whole tiles. */
export const gemm: Family<typeof spec, Tiled> = family(spec, tileds, {
  source,
  grid: ({ rows, n }, { WG }) => fold(Math.ceil(rows / 4) * n / 16, WG),
  twin: (dtype) => gemv[dtype].twin,
})
