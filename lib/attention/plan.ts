/**
 * Which shape of the register kernel attends, and in how many parts. Pure.
 *
 * Measured on software adapters of two cores; the states of a plan's parts merge to the same result whatever
 * the plan, up to rounding.
 *
 * @module
 */
import { type Shape, wide } from "../../kernels/split_attention.ts"
import type * as Layout from "../cache/Layout.ts"

/** What is to be attended to. */
export interface Problem {
  readonly layout: Layout.Layout
  readonly keys: Layout.Strides
  readonly values: Layout.Strides
  readonly numQHeads: number
  readonly tokens: number
  /** Sequences that the tokens belong to. */
  readonly batch: number
  /** Most positions any of the tokens sees, or more. */
  readonly contextLen: number
  readonly softCap: boolean
}

/** A launch of the register kernel. */
export interface Plan {
  readonly shape: Shape
  readonly splits: number
  readonly tile: number
}

/** Most vectors of four that a thread holds: above it compilers take seconds, and registers spill. */
const mostVectors = 192

/** Threads that keep two cores of eight lanes busy, with some to choose from. */
const threads = 48

/** Tokens of a sequence from which on neighbouring threads are its tokens: they read the same keys. */
const chunk = 8

/** Positions of a part: fewer are not worth the merge, more fall out of a core's memory. */
const part = { least: 64, most: 256 } as const

const clamp = (x: number, least: number, most: number): number =>
  Math.max(least, Math.min(most, Math.ceil(x)))

/** Whether rows begin where the kernel may load. */
const aligned = ({ layout, keys, values }: Problem): boolean => {
  const { elements } = wide[layout.dtype]
  return [layout.keyDim, layout.valueDim].every((n) => n % elements === 0) &&
    [keys, values].every(({ base, block, head, slot }) =>
      [base, block, head, slot].every((n) => n % elements === 0)
    )
}

/** Query heads a thread can hold of `rows` tokens: a divisor of the group; 0 if not even one. */
const headsOf = ({ layout, numQHeads }: Problem, rows: number): number => {
  const group = numQHeads / layout.keyHeads
  const most = Math.floor(4 * mostVectors / (rows * (layout.keyDim + layout.valueDim)))
  for (let heads = Math.min(group, most); heads > 0; heads--) if (group % heads === 0) return heads
  return 0
}

/** The plan; undefined where only the general kernel works. */
export const plan = (problem: Problem): Plan | undefined => {
  const { layout, numQHeads, tokens, batch, contextLen, softCap } = problem
  const { dtype, keyDim, valueDim } = layout
  // An empty tensor has no room for one vector.
  if (tokens === 0 || layout.keyHeads !== layout.valueHeads || !aligned(problem)) return undefined
  const prefill = tokens >= chunk * batch
  const rows = prefill && headsOf(problem, 2) > 0 ? 2 : 1
  const heads = headsOf(problem, rows)
  if (heads === 0) return undefined
  const busy = threads * heads / (numQHeads * Math.ceil(tokens / rows))
  // Tokens of many sequences share no loads, so shorter parts help even where threads abound.
  const far = prefill ? 1 : Math.min(contextLen / part.most, threads / 3)
  const splits = clamp(Math.max(busy, far), 1, Math.max(1, Math.floor(contextLen / part.least)))
  const tile = prefill ? chunk : 1
  return { shape: { dtype, keyDim, valueDim, heads, rows, softCap }, splits, tile }
}
