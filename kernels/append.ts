/** Writes new rows into a pool, and carries old ones from slot to slot. @module */
import { source } from "./append.wgsl.ts"
import { type Family, family } from "./family.ts"
import { fold } from "./grid.ts"
import { bitsOf } from "./half.ts"
import { address, type Pool, pools, store, width } from "./pool.ts"

const spec = {
  name: "append",
  bindings: {
    rows: "read f32[rows heads dim]",
    entries: "read u32[entries pair]",
    copies: "read u32[copies pair]",
    pool: "update D[pool]",
  },
  overrides: { WG: "u32" },
  params: {
    entries: "u32",
    copies: "u32",
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

/**
 * The kernels, by the dtype of the pool. An entry is (row after `rowBase`, slot), a copy is (slot, slot); the
 * host sees to it that no destination is read or written twice in a launch.
 */
export const append: Family<typeof spec, Pool> = family(spec, pools, {
  source,
  grid: ({ entries, copies, heads, dim }, { WG }) => fold((entries + copies) * heads * dim, WG),
  twin: (dtype) => ({ rows, entries, copies, pool }, params, axes) => {
    const { heads, dim } = axes
    const bits = bitsOf(rows)
    const size = width(dtype, dim)
    for (let e = 0; e < axes.entries; e++) {
      const row = params.rowBase + entries[2 * e]!
      for (let head = 0; head < heads; head++) {
        const at = address(params, entries[2 * e + 1]!, head)
        store[dtype](rows, bits, (row * heads + head) * dim, dim, pool, at)
      }
    }
    for (let c = 0; c < axes.copies; c++) {
      for (let head = 0; head < heads; head++) {
        const from = address(params, copies[2 * c]!, head)
        pool.copyWithin(address(params, copies[2 * c + 1]!, head), from, from + size)
      }
    }
  },
})
