/** Softmax of each row. @module */
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"
import { source } from "./softmax.wgsl.ts"

const spec = {
  name: "softmax",
  bindings: { x: "read f32[rows n]", out: "write f32[rows n]" },
  overrides: { WG: "u32" },
  params: { rows: "u32", n: "u32" },
} as const

/** The kernel. */
export const softmax: Kernel.Kernel<typeof spec> = Kernel.make(spec, {
  source,
  grid: ({ rows }) => fold(rows, 1),
  twin: ({ x, out }, _, { rows, n }) => {
    const weights = new Float64Array(n)
    for (let r = 0; r < rows; r++) {
      let max = -Infinity
      for (let i = 0; i < n; i++) max = Math.max(max, x[r * n + i]!)
      let sum = 0
      for (let i = 0; i < n; i++) sum += weights[i] = Math.exp(x[r * n + i]! - max)
      for (let i = 0; i < n; i++) out[r * n + i] = weights[i]! / sum
    }
  },
})
