/** Element-wise product. @module */
import { binary } from "./elementwise.wgsl.ts"
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"

const spec = {
  name: "mul",
  bindings: { a: "read f32[n]", b: "read f32[n]", out: "write f32[n]" },
  overrides: { WG: "u32" },
  params: { n: "u32" },
} as const

/** The kernel. */
export const mul: Kernel.Kernel<typeof spec> = Kernel.make(spec, {
  source: binary("mul", "a[i] * b[i]"),
  grid: ({ n }, { WG }) => fold(n, WG),
  twin: ({ a, b, out }, _, { n }) => {
    for (let i = 0; i < n; i++) out[i] = a[i]! * b[i]!
  },
})
