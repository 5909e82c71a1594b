/** Reads rows of a pool by slot. @module */
import { type Family, family } from "./family.ts"
import { source } from "./gather.wgsl.ts"
import { fold } from "./grid.ts"
import { address, type Pool, pools, widen } from "./pool.ts"

const spec = {
  name: "gather",
  bindings: {
    pool: "read D[pool]",
    slots: "read u32[tokens]",
    out: "update f32[rows heads dim]",
  },
  overrides: { WG: "u32" },
  params: {
    tokens: "u32",
    heads: "u32",
    dim: "u32",
    rowBase: "u32",
    base: "u32",
    blockSize: "u32",
    blockStride: "u32",
    headStride: "u32",
    slotStride: "u32",
  },
} as const

/** The kernels, by the dtype of the pool. Slot t goes to row `rowBase + t` of `out`; other rows stay. */
export const gather: Family<typeof spec, Pool> = family(spec, pools, {
  source,
  grid: ({ tokens, heads, dim }, { WG }) => fold(tokens * heads * dim, WG),
  twin: (dtype) => ({ pool, slots, out }, params, { tokens, heads, dim }) => {
    for (let t = 0; t < tokens; t++) {
      for (let head = 0; head < heads; head++) {
        const to = ((params.rowBase + t) * heads + head) * dim
        widen[dtype](pool, address(params, slots[t]!, head), dim, out, to)
      }
    }
  },
})
