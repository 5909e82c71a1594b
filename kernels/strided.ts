/** Elements of a tensor in another order, or some of them: what slices and permutations are made of. @module */
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"
import { source } from "./strided.wgsl.ts"

const spec = {
  name: "strided",
  bindings: { x: "read f32[size]", out: "write f32[n]" },
  overrides: { WG: "u32" },
  params: {
    n: "u32",
    offset: "u32",
    size1: "u32",
    size2: "u32",
    size3: "u32",
    stride0: "u32",
    stride1: "u32",
    stride2: "u32",
    stride3: "u32",
  },
} as const

/** The kernel. The result has four axes of which the last three have `size1`, `size2`, `size3`. */
export const strided: Kernel.Kernel<typeof spec> = Kernel.make(spec, {
  source,
  grid: ({ n }, { WG }) => fold(n, WG),
  twin: (
    { x, out },
    { offset, size1, size2, size3, stride0, stride1, stride2, stride3 },
    { n },
  ) => {
    for (let i = 0, i0 = 0; i < n; i0++) {
      for (let i1 = 0; i1 < size1; i1++) {
        for (let i2 = 0; i2 < size2; i2++) {
          let at = offset + i0 * stride0 + i1 * stride1 + i2 * stride2
          for (let i3 = 0; i3 < size3; i3++, at += stride3) out[i++] = x[at]!
        }
      }
    }
  },
})
