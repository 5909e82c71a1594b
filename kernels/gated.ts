/** Two tiled weights times few rows, one through `silu` into the other: a gated feed-forward layer. @module */
import { type Family, family } from "./family.ts"
import { source } from "./gated.wgsl.ts"
import { gemv } from "./gemv.ts"
import { fold } from "./grid.ts"
import type { Tiled } from "./kernel.ts"
import { mul } from "./mul.ts"
import { silu } from "./silu.ts"
import { tileds } from "./tile.ts"

const spec = {
  name: "gated",
  bindings: {
    x: "read f32[rows k]",
    gate: "read D[n k]",
    up: "read D[n k]",
    out: "write f32[rows n]",
  },
  overrides: { WG: "u32" },
  params: { rows: "u32", k: "u32", n: "u32" },
} as const

/** The kernels, by the dtype of both weights; n and k are multiples of 32. */
export const gated: Family<typeof spec, Tiled> = family(spec, tileds, {
  source,
  grid: ({ rows, n }, { WG }) => fold(rows * n / 4, WG),
  twin: (dtype) => ({ x, gate, up, out }, params, axes, overrides) => {
    const n = out.length
    const open = new Float32Array(n)
    gemv[dtype].twin({ x, weight: gate, out: open }, params, axes, overrides)
    silu.twin({ x: open, out: open }, { n }, { n }, overrides)
    gemv[dtype].twin({ x, weight: up, out }, params, axes, overrides)
    mul.twin({ a: open, b: out, out }, { n }, { n }, overrides)
  },
})
