/** Root-mean-square normalisation of each row. @module */
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"
import { source } from "./rms_norm.wgsl.ts"

const spec = {
  name: "rms_norm",
  bindings: { x: "read f32[rows d]", weight: "read f32[d]", out: "write f32[rows d]" },
  overrides: { WG: "u32" },
  params: { rows: "u32", d: "u32", eps: "f32" },
} as const

/** The kernel. */
export const rmsNorm: Kernel.Kernel<typeof spec> = Kernel.make(spec, {
  source,
  grid: ({ rows }) => fold(rows, 1),
  twin: ({ x, weight, out }, { eps }, { rows, d }) => {
    for (let from = 0; from < rows * d; from += d) {
      let sum = 0
      for (let i = 0; i < d; i++) sum += x[from + i]! ** 2
      const scale = 1 / Math.sqrt(sum / d + eps)
      for (let i = 0; i < d; i++) out[from + i] = x[from + i]! * scale * weight[i]!
    }
  },
})
