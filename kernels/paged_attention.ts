/** Each query token attends to the positions of its own sequence that it may see, through a block table. @module */
import { attend, fetch, type Sight, sightOf, union } from "./attend.ts"
import { type Family, family } from "./family.ts"
import { fold } from "./grid.ts"
import { source } from "./paged_attention.wgsl.ts"
import { type Pool, pools } from "./pool.ts"

const spec = {
  name: "paged_attention",
  bindings: {
    q: "read f32[tokens numQHeads keyDim]",
    keys: "read D[keyPool]",
    values: "read D[valuePool]",
    blockTables: "read u32[batch maxBlocks]",
    visible: "read u32[tokens three]",
    out: "write f32[tokens numQHeads valueDim]",
    lse: "write f32[tokens numQHeads]",
  },
  overrides: { WG: "u32" },
  params: {
    tokens: "u32",
    numQHeads: "u32",
    keyDim: "u32",
    valueDim: "u32",
    maxBlocks: "u32",
    keyHeads: "u32",
    valueHeads: "u32",
    blockSize: "u32",
    keyBase: "u32",
    keyBlockStride: "u32",
    keyHeadStride: "u32",
    keySlotStride: "u32",
    valueBase: "u32",
    valueBlockStride: "u32",
    valueHeadStride: "u32",
    valueSlotStride: "u32",
    scale: "f32",
    softCap: "f32",
    window: "u32",
    sinks: "u32",
  },
} as const

/** Last token of the run, from `token` on, that reads the same row of the block tables. */
const runEnd = (sights: ReadonlyArray<Sight>, token: number): number => {
  let end = token + 1
  while (end < sights.length && sights[end]!.row === sights[token]!.row) end++
  return end
}

/**
 * The kernels, by the dtype of both pools. `visible` holds for each token its row of the block tables, the
 * first position it may see and its own, which is the last; first = position + 1 sees nothing. A block table
 * begins with the block of position 0. `numQHeads` is a multiple of `keyHeads` and of `valueHeads`.
 */
export const pagedAttention: Family<typeof spec, Pool> = family(spec, pools, {
  source,
  grid: ({ tokens, numQHeads }, { WG }) => fold(tokens * numQHeads, WG),
  twin: (dtype) => ({ q, keys, values, blockTables, visible, out, lse }, params, axes) => {
    const { tokens, numQHeads, keyDim, valueDim, maxBlocks } = axes
    const { blockSize, keyHeads, valueHeads } = params
    const sights = Array.from({ length: tokens }, (_, t) => sightOf(visible, t, params))
    const keyPlace = {
      base: params.keyBase,
      blockSize,
      blockStride: params.keyBlockStride,
      headStride: params.keyHeadStride,
      slotStride: params.keySlotStride,
    }
    const valuePlace = {
      base: params.valueBase,
      blockSize,
      blockStride: params.valueBlockStride,
      headStride: params.valueHeadStride,
      slotStride: params.valueSlotStride,
    }
    for (let token = 0; token < tokens;) {
      const end = runEnd(sights, token)
      const seen = union(sights.slice(token, end))
      const table = blockTables.subarray(seen.row * maxBlocks, (seen.row + 1) * maxBlocks)
      const span = Math.max(0, seen.position + 1 - seen.first)
      const k = new Float32Array(span * keyDim), v = new Float32Array(span * valueDim)
      const scores = new Float64Array(span), mean = new Float64Array(valueDim)
      let keyHead = -1, valueHead = -1
      for (let h = 0; h < numQHeads; h++) {
        // Rows are decoded once for all tokens of the run and all query heads of a group.
        const kh = Math.floor(h * keyHeads / numQHeads)
        const vh = Math.floor(h * valueHeads / numQHeads)
        if (kh !== keyHead) fetch(dtype, keys, table, keyPlace, keyHead = kh, keyDim, seen, k)
        if (vh !== valueHead) {
          fetch(dtype, values, table, valuePlace, valueHead = vh, valueDim, seen, v)
        }
        for (let t = token; t < end; t++) {
          const i = t * numQHeads + h
          const query = q.subarray(i * keyDim, (i + 1) * keyDim)
          lse[i] = attend(query, k, v, sights[t]!, seen.first, params, scores, mean)
          out.set(mean, i * valueDim)
        }
      }
      token = end
    }
  },
})
