/** Two tiled weights times few rows, one through an activation into the other: a gated feed-forward layer. @module */
import { type Family, family } from "./family.ts"
import { type Activation, source } from "./gated.wgsl.ts"
import { gelu } from "./gelu.ts"
import { gemv } from "./gemv.ts"
import { fold } from "./grid.ts"
import type { Tiled } from "./kernel.ts"
import { mul } from "./mul.ts"
import { silu } from "./silu.ts"
import { tileds } from "./tile.ts"

const shape = {
  bindings: {
    x: "read f32[rows k]",
    gate: "read D[n k]",
    up: "read D[n k]",
    out: "write f32[rows n]",
  },
  overrides: { WG: "u32" },
  params: { rows: "u32", k: "u32", n: "u32" },
} as const

export type { Activation }

type Gated = Family<typeof shape & { readonly name: string }, Tiled>

const gatedBy = (activation: Activation, twin: typeof silu.twin | typeof gelu.twin): Gated =>
  family({ name: `gated_${activation}`, ...shape }, tileds, {
    source: (dtype) => source(dtype, activation),
    grid: ({ rows, n }, { WG }) => fold(rows * n / 4, WG),
    twin: (dtype) => ({ x, gate, up, out }, params, axes, overrides) => {
      const n = out.length
      const open = new Float32Array(n)
      gemv[dtype].twin({ x, weight: gate, out: open }, params, axes, overrides)
      twin({ x: open, out: open }, { n }, { n }, overrides)
      gemv[dtype].twin({ x, weight: up, out }, params, axes, overrides)
      mul.twin({ a: open, b: out, out }, { n }, { n }, overrides)
    },
  })

/** The kernels with `silu`, by the dtype of both weights; n and k are of whole tiles. */
export const gatedSilu: Gated = gatedBy("silu", silu.twin)

/** The same with `gelu`. */
export const gatedGelu: Gated = gatedBy("gelu", gelu.twin)
