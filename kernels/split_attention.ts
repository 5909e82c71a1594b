/**
 * Attention as `paged_attention` does it, in registers: a thread holds a pack of query heads of one or two
 * tokens, reads every key and value once for all of them, and covers one part of the positions.
 *
 * @module
 */
import { member, type Of } from "./family.ts"
import { fold } from "./grid.ts"
import type * as Kernel from "./kernel.ts"
import { pagedAttention } from "./paged_attention.ts"
import type { Pool } from "./pool.ts"
import { source } from "./split_attention.wgsl.ts"

export { wide } from "./split_attention.wgsl.ts"

/** What the text of a shader is made for. Dims are multiples of `wide[dtype].elements`. */
export interface Shape {
  readonly dtype: Pool
  readonly keyDim: number
  readonly valueDim: number
  /** Query heads of a thread: they share a key head. */
  readonly heads: number
  /** Adjacent tokens of a thread. */
  readonly rows: 1 | 2
  readonly softCap: boolean
}

const spec = {
  name: "split_attention",
  bindings: {
    q: "read f32[tokens numQHeads keyDim]",
    keys: "read D[keyPool]",
    values: "read D[valuePool]",
    blockTables: "read u32[batch maxBlocks]",
    visible: "read u32[tokens three]",
    out: "write f32[splits tokens numQHeads valueDim]",
    lse: "write f32[splits tokens numQHeads]",
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
    splits: "u32",
    tile: "u32",
  },
} as const

/** The record of every shape. */
export type Spec = Of<typeof spec, Pool>

/** The part of a token's positions that a split sees: as a token of its own, with its own window. */
const partOf = (
  [row, first, position]: readonly [number, number, number],
  split: number,
  { window, sinks, splits, blockSize }: Kernel.Params<Spec>,
): { readonly visible: Uint32Array; readonly window: number; readonly sinks: number } => {
  const end = position + 1
  const start = window === 0 ? first : Math.max(first, end - window)
  const run = Math.min(blockSize, 16)
  const base = start - start % run
  const part = Math.ceil(Math.ceil((end - base) / splits) / run) * run
  const from = Math.max(start, base + split * part), to = Math.min(end, base + (split + 1) * part)
  if (first >= end || from >= end) return { visible: Uint32Array.of(row, 1, 0), window, sinks }
  return split === 0
    ? {
      visible: Uint32Array.of(row, first, to - 1),
      window: to - start,
      sinks: Math.min(sinks, start),
    }
    : { visible: Uint32Array.of(row, from, to - 1), window: 0, sinks: 0 }
}

const nameOf = ({ keyDim, valueDim, heads, rows, softCap }: Shape): string =>
  `${spec.name}_${keyDim}_${valueDim}_by_${heads}_${rows}${softCap ? "_capped" : ""}`

const make = (shape: Shape): Kernel.Kernel<Spec> => {
  const { dtype, keyDim, valueDim, heads, rows } = shape
  return member({ ...spec, name: nameOf(shape) }, dtype, {
    source: source(shape),
    grid: ({ tokens, numQHeads }, { WG }, { splits, tile }) =>
      fold(Math.ceil(Math.ceil(tokens / rows) / tile) * tile * (numQHeads / heads) * splits, WG),
    twin: (arrays, params, axes, overrides) => {
      const { tokens, numQHeads, splits } = axes
      const { q, visible, out, lse } = arrays
      const one = <A extends Float32Array>(array: A, token: number, width: number) =>
        array.subarray(token * width, (token + 1) * width)
      for (let i = 0; i < splits * tokens; i++) {
        const token = i % tokens
        const [row, first, position] = visible.subarray(3 * token, 3 * token + 3)
        const part = partOf([row!, first!, position!], Math.floor(i / tokens), params)
        pagedAttention[dtype].twin(
          {
            ...arrays,
            q: one(q, token, numQHeads * keyDim),
            visible: part.visible,
            out: one(out, i, numQHeads * valueDim),
            lse: one(lse, i, numQHeads),
          },
          { ...params, tokens: 1, window: part.window, sinks: part.sinks },
          { ...axes, tokens: 1 },
          overrides,
        )
      }
    },
  })
}

/** Kernels made so far: a device keeps what it compiled by the kernel itself, so a shape has one. */
const made = new Map<string, Kernel.Kernel<Spec>>()

/**
 * The kernel of a shape. Like `pagedAttention`, with `keyHeads = valueHeads`, and: `splits` parts of each
 * token's positions give a state each, for `merge_states`; the states of one split are the result.
 * `tile` strips of `rows` tokens are neighbours on the device.
 */
export const splitAttention = (shape: Shape): Kernel.Kernel<Spec> => {
  const key = `${nameOf(shape)}_${shape.dtype}`
  const kernel = made.get(key) ?? make(shape)
  made.set(key, kernel)
  return kernel
}
