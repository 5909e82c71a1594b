/** Every element times one number. @module */
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"
import { source } from "./scale.wgsl.ts"

const spec = {
  name: "scale",
  bindings: { x: "read f32[n]", out: "write f32[n]" },
  overrides: { WG: "u32" },
  params: { n: "u32", factor: "f32" },
} as const

/** The kernel. */
export const scale: Kernel.Kernel<typeof spec> = Kernel.make(spec, {
  source,
  grid: ({ n }, { WG }) => fold(n, WG),
  twin: ({ x, out }, { factor }, { n }) => {
    const f = Math.fround(factor) // a shader has it as f32
    for (let i = 0; i < n; i++) out[i] = x[i]! * f
  },
})
