/** Index of the largest element of each row. @module */
import { source } from "./argmax.wgsl.ts"
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"

const spec = {
  name: "argmax",
  bindings: { x: "read f32[rows n]", out: "write u32[rows]" },
  overrides: { WG: "u32" },
  params: { rows: "u32", n: "u32" },
} as const

/** The kernel. Of equal elements the first is taken. */
export const argmax: Kernel.Kernel<typeof spec> = Kernel.make(spec, {
  source,
  grid: ({ rows }) => fold(rows, 1),
  twin: ({ x, out }, _, { rows, n }) => {
    for (let r = 0; r < rows; r++) {
      let best = 0
      for (let i = 1; i < n; i++) if (x[r * n + i]! > x[r * n + best]!) best = i
      out[r] = best
    }
  },
})
