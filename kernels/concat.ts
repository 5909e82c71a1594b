/** Two tensors, one after the other along an axis. @module */
import { source } from "./concat.wgsl.ts"
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"

const spec = {
  name: "concat",
  bindings: { a: "read f32[aSize]", b: "read f32[bSize]", out: "write f32[n]" },
  overrides: { WG: "u32" },
  params: { n: "u32", aRun: "u32", bRun: "u32" },
} as const

/** The kernel. A run is what lies together: the elements of one side from the axis on. */
export const concat: Kernel.Kernel<typeof spec> = Kernel.make(spec, {
  source,
  grid: ({ n }, { WG }) => fold(n, WG),
  twin: ({ a, b, out }, { aRun, bRun }, { n }) => {
    for (let outer = 0, at = 0; at < n; outer++) {
      out.set(a.subarray(outer * aRun, (outer + 1) * aRun), at)
      out.set(b.subarray(outer * bRun, (outer + 1) * bRun), at + aRun)
      at += aRun + bRun
    }
  },
})
