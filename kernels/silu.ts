/** `x · sigmoid(x)`. @module */
import { unary } from "./elementwise.wgsl.ts"
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"

const spec = {
  name: "silu",
  bindings: { x: "read f32[n]", out: "write f32[n]" },
  overrides: { WG: "u32" },
  params: { n: "u32" },
} as const

// exp(88) is the last power of e that an f32 holds, and a shader may assume that none overflows.
const value = "x[i] / (1.0 + exp(min(-x[i], 88.0)))"

/** The kernel. */
export const silu: Kernel.Kernel<typeof spec> = Kernel.make(spec, {
  source: unary("silu", value),
  grid: ({ n }, { WG }) => fold(n, WG),
  twin: ({ x, out }, _, { n }) => {
    for (let i = 0; i < n; i++) out[i] = x[i]! / (1 + Math.exp(-x[i]!))
  },
})
