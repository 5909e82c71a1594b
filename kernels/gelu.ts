/** GELU by its tanh approximation, as models are trained with it. @module */
import { GELU_ROOT } from "./constants.ts"
import { unary } from "./elementwise.wgsl.ts"
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"

const spec = {
  name: "gelu",
  bindings: { x: "read f32[n]", out: "write f32[n]" },
  overrides: { WG: "u32" },
  params: { n: "u32" },
} as const

// tanh of more than 15 is 1 in f32, and a shader's tanh may overflow on the way.
const value =
  `0.5 * x[i] * (1.0 + tanh(clamp(${GELU_ROOT} * x[i] * (1.0 + 0.044715 * x[i] * x[i]), -15.0, 15.0)))`

/** The kernel. Source: Hendrycks and Gimpel 2016. */
export const gelu: Kernel.Kernel<typeof spec> = Kernel.make(spec, {
  source: unary("gelu", value),
  grid: ({ n }, { WG }) => fold(n, WG),
  twin: ({ x, out }, _, { n }) => {
    for (let i = 0; i < n; i++) {
      const v = x[i]!
      out[i] = 0.5 * v * (1 + Math.tanh(GELU_ROOT * v * (1 + 0.044715 * v * v)))
    }
  },
})
