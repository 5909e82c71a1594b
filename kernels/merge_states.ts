/** Joins attention states over disjoint parts of a context into one. @module */
import { LSE_EMPTY } from "./constants.ts"
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"
import { source } from "./merge_states.wgsl.ts"

const spec = {
  name: "merge_states",
  bindings: {
    outs: "read f32[parts rows dim]",
    lses: "read f32[parts rows]",
    out: "write f32[rows dim]",
    lse: "write f32[rows]",
  },
  overrides: { WG: "u32" },
  params: { parts: "u32", rows: "u32", dim: "u32" },
} as const

/** The kernel. A part with `lse = LSE_EMPTY` adds nothing, whatever its `outs` hold. */
export const mergeStates: Kernel.Kernel<typeof spec> = Kernel.make(spec, {
  source,
  grid: ({ rows, dim }, { WG }) => fold(rows * dim, WG),
  twin: ({ outs, lses, out, lse }, _, { parts, rows, dim }) => {
    const mean = new Float64Array(dim)
    for (let r = 0; r < rows; r++) {
      let max = LSE_EMPTY
      for (let p = 0; p < parts; p++) max = Math.max(max, lses[p * rows + r]!)
      let sum = 0
      mean.fill(0)
      for (let p = 0; p < parts; p++) {
        const part = p * rows + r
        if (lses[part]! === LSE_EMPTY) continue
        const weight = Math.exp(lses[part]! - max)
        sum += weight
        for (let i = 0; i < dim; i++) mean[i]! += weight * outs[part * dim + i]!
      }
      for (let i = 0; i < dim; i++) out[r * dim + i] = sum === 0 ? 0 : mean[i]! / sum
      lse[r] = sum === 0 ? LSE_EMPTY : max + Math.log(sum)
    }
  },
})
