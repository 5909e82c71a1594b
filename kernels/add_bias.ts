/** A bias added to every row. @module */
import { source } from "./add_bias.wgsl.ts"
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"

const spec = {
  name: "add_bias",
  bindings: { x: "read f32[rows d]", bias: "read f32[d]", out: "write f32[rows d]" },
  overrides: { WG: "u32" },
  params: { rows: "u32", d: "u32" },
} as const

/** The kernel. */
export const addBias: Kernel.Kernel<typeof spec> = Kernel.make(spec, {
  source,
  grid: ({ rows, d }, { WG }) => fold(rows * d, WG),
  twin: ({ x, bias, out }, _, { rows, d }) => {
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < d; i++) out[r * d + i] = x[r * d + i]! + bias[i]!
    }
  },
})
