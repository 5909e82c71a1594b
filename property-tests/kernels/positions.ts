/** Attention as a list of positions, no blocks, f64: what kernels over blocks are held to. @module */
import { LSE_EMPTY } from "../../kernels/constants.ts"
import type { Pool } from "../../kernels/pool.ts"
import type { Arrays, Case as Launch } from "./harness.ts"
import { packed, poisoned, unpacked, widthOf } from "./stored.ts"
import { floats, integers } from "./values.ts"

/** A batch over blocks. Without a window every position is seen. */
export interface Case {
  /** Query, key and value heads. */
  readonly heads: ReadonlyArray<number>
  readonly keyDim: number
  readonly valueDim: number
  readonly blockSize: number
  /** Of each sequence: its tokens, how many queries it has, the last ones, and the first position they see. */
  readonly rows: ReadonlyArray<
    { readonly length: number; readonly queries: number; readonly first: number }
  >
  readonly window: number
  readonly sinks: number
  readonly softCap: number
  /** Whether a head's rows of a block lie together, or a slot's. */
  readonly headMajor?: boolean
  readonly seed: number
}

/** Whether a position is seen, in words. */
const sees = (
  { window, sinks }: Case,
  [, first, position]: ReadonlyArray<number>,
  p: number,
): boolean => p >= first! && p <= position! && (window === 0 || position! - p < window || p < sinks)

/** Both pools, all poison but what some token sees; blocks shuffled by seed. */
export interface Laid {
  readonly numQHeads: number
  readonly maxBlocks: number
  /** Row of the tables, first visible position, own position of each token. */
  readonly visible: ReadonlyArray<ReadonlyArray<number>>
  readonly q: Float32Array
  /** Everything a launch reads but q and `visible`. */
  readonly given: Arrays
  readonly params: Record<string, number>
  readonly key: (row: number, p: number, head: number) => ReadonlyArray<number>
  readonly value: (row: number, p: number, head: number) => ReadonlyArray<number>
}

/** Lays the numbers of a case's seed out as a pool stores them. */
export const laidOut = (given: Case, dtype: Pool, poison: number): Laid => {
  const { blockSize, rows, keyDim, valueDim, headMajor, seed } = given
  const [numQHeads, keyHeads, valueHeads] = given.heads as [number, number, number]
  const maxBlocks = Math.max(...rows.map(({ length }) => Math.ceil(length / blockSize)))
  const batch = rows.length
  const shuffled = [...integers(seed, batch * maxBlocks, 1 << 30)]
    .map((key, id) => ({ key, id })).toSorted((a, b) => a.key - b.key)
  const blockTables = Uint32Array.from(shuffled, ({ id }) => id)
  const visible = rows.flatMap(({ length, queries, first }, row) =>
    Array.from({ length: Math.min(queries, length) }, (_, i) => {
      const position = length - Math.min(queries, length) + i
      return [row, Math.min(first, position + 1), position]
    })
  )
  const slotOf = (row: number, p: number) =>
    blockTables[row * maxBlocks + Math.floor(p / blockSize)]! * blockSize + p % blockSize
  const seen = new Set(
    visible.flatMap((token) =>
      [...Array(token[2]! + 1).keys()].filter((p) => sees(given, token, p)).map((p) =>
        slotOf(token[0]!, p)
      )
    ),
  )
  const pool = (from: number, heads: number, dim: number) => {
    const width = widthOf(dtype, dim)
    const block = blockSize * heads * width
    const [head, slot] = headMajor === true ? [blockSize * width, width] : [width, heads * width]
    const data = poisoned(dtype, poison, batch * maxBlocks * block)
    const rowAt = (at: number, h: number) =>
      Math.floor(at / blockSize) * block + h * head + at % blockSize * slot
    for (const at of seen) {
      for (let h = 0; h < heads; h++) {
        data.set(packed(dtype, floats(from + at * heads + h, dim)), rowAt(at, h))
      }
    }
    const row = (at: number, h: number) =>
      unpacked(dtype, data.slice(rowAt(at, h), rowAt(at, h) + width), dim)
    return {
      data,
      row,
      block,
      head,
      slot,
    }
  }
  const keys = pool(seed + 1, keyHeads, keyDim)
  const values = pool(seed + 2, valueHeads, valueDim)
  return {
    numQHeads,
    maxBlocks,
    visible,
    q: floats(seed + 3, visible.length * numQHeads * keyDim),
    given: { keys: keys.data, values: values.data, blockTables },
    params: {
      keyHeads,
      valueHeads,
      blockSize,
      keyBase: 0,
      keyBlockStride: keys.block,
      keyHeadStride: keys.head,
      keySlotStride: keys.slot,
      valueBase: 0,
      valueBlockStride: values.block,
      valueHeadStride: values.head,
      valueSlotStride: values.slot,
      scale: 1 / Math.sqrt(keyDim),
      softCap: given.softCap,
      window: given.window,
      sinks: given.sinks,
    },
    key: (row, p, head) => keys.row(slotOf(row, p), head),
    value: (row, p, head) => values.row(slotOf(row, p), head),
  }
}

/** The launch of a kernel that attends. */
export const launchOf = (given: Case, laid: Laid): Launch => ({
  axes: {
    tokens: laid.visible.length,
    numQHeads: laid.numQHeads,
    keyDim: given.keyDim,
    valueDim: given.valueDim,
    keyPool: laid.given["keys"]!.length,
    valuePool: laid.given["values"]!.length,
    batch: given.rows.length,
    maxBlocks: laid.maxBlocks,
    three: 3,
  },
  given: { ...laid.given, q: laid.q, visible: Uint32Array.from(laid.visible.flat()) },
  params: laid.params,
})

/** What comes out, by definition. */
export const naive = (
  given: Case,
  laid: Laid,
): { readonly out: ReadonlyArray<number>; readonly lse: ReadonlyArray<number> } => {
  const { keyDim, valueDim, softCap } = given
  const [numQHeads, keyHeads, valueHeads] = given.heads as [number, number, number]
  const out: Array<number> = [], lse: Array<number> = []
  for (const [t, token] of laid.visible.entries()) {
    const positions = [...Array(token[2]! + 1).keys()].filter((p) => sees(given, token, p))
    for (let h = 0; h < numQHeads; h++) {
      const q = laid.q.subarray((t * numQHeads + h) * keyDim)
      const group = (heads: number) => Math.floor(h / (numQHeads / heads))
      const scores = positions.map((p) => {
        const k = laid.key(token[0]!, p, group(keyHeads))
        const s = k.reduce((sum, x, i) => sum + x * q[i]!, 0) / Math.sqrt(keyDim)
        return softCap === 0 ? s : softCap * Math.tanh(s / softCap)
      })
      const sum = scores.reduce((sum, s) => sum + Math.exp(s), 0)
      const mean = new Array<number>(valueDim).fill(0)
      for (const [i, p] of positions.entries()) {
        const v = laid.value(token[0]!, p, group(valueHeads))
        for (let d = 0; d < valueDim; d++) mean[d]! += Math.exp(scores[i]!) / sum * v[d]!
      }
      out.push(...mean)
      lse.push(positions.length === 0 ? LSE_EMPTY : Math.log(sum))
    }
  }
  return { out, lse }
}
