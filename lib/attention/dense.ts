/** The oracle: attention in float64 over plain arrays. It never pages, never batches, never hurries. @module */
import { InvalidArgument } from "../errors.ts"
import { all, type Window } from "./Window.ts"

/** Rows of one sequence, row-major. */
export interface DenseInput {
  /** `[queryLen, numQHeads, keyDim]` */
  readonly q: ArrayLike<number>
  /** `[contextLen, keyHeads, keyDim]` */
  readonly k: ArrayLike<number>
  /** `[contextLen, valueHeads, valueDim]` */
  readonly v: ArrayLike<number>
  readonly queryLen: number
  readonly contextLen: number
  readonly numQHeads: number
  readonly keyHeads: number
  readonly valueHeads: number
  readonly keyDim: number
  readonly valueDim: number
}

/** What changes the mathematics. */
export interface DenseOptions {
  readonly window?: Window
  /** Default `1 / √keyDim`. */
  readonly scale?: number
  /** `cap · tanh(s / cap)` after scaling. */
  readonly softCap?: number
  /** Query i stands at position `contextLen − queryLen + i` and sees no later one. Default true. */
  readonly causal?: boolean
  /** Positions see those of their own chunk of so many tokens, from `chunkOffset` on. */
  readonly chunk?: number
  /** A position at which a chunk begins. Default 0. */
  readonly chunkOffset?: number
  /** `[contextLen]`: positions of one id see each other, −1 sees nothing. */
  readonly segments?: ArrayLike<number>
  /** Positions below it are padding. Default 0. */
  readonly start?: number
}

/** Output and log-sum-exp of every query row. */
export interface DenseOutput {
  /** `[queryLen, numQHeads, valueDim]`; zeros where nothing is visible */
  readonly out: Float64Array
  /** `[queryLen, numQHeads]`, natural log; −∞ where nothing is visible */
  readonly lse: Float64Array
}

/** What is wrong with the sizes: nothing is read or made that the arrays do not hold. */
const sizesError = (input: DenseInput, { segments }: DenseOptions): InvalidArgument | undefined => {
  const { q, k, v, queryLen, contextLen, numQHeads, keyHeads, valueHeads, keyDim, valueDim } = input
  const counts = { queryLen, contextLen, numQHeads, keyHeads, valueHeads, keyDim, valueDim }
  for (const [name, value] of Object.entries(counts)) {
    if (Number.isSafeInteger(value) && value >= 0) continue
    return new InvalidArgument({ name, value, need: "a whole number, at least 0" })
  }
  const lengths = [
    ["q", q.length, queryLen * numQHeads * keyDim],
    ["k", k.length, contextLen * keyHeads * keyDim],
    ["v", v.length, contextLen * valueHeads * valueDim],
    ["segments", segments?.length ?? contextLen, contextLen],
  ] as const
  for (const [name, value, expected] of lengths) {
    if (value === expected) continue
    return new InvalidArgument({ name: `the length of ${name}`, value, need: `${expected}` })
  }
}

/** Softmax attention by the definition. Throws `InvalidArgument` where arrays and sizes do not fit. O(queryLen · contextLen · numQHeads · (keyDim + valueDim)). */
export const dense = (input: DenseInput, options: DenseOptions = {}): DenseOutput => {
  const bad = sizesError(input, options)
  if (bad !== undefined) throw bad
  const { q, k, v, queryLen, contextLen, numQHeads, keyHeads, valueHeads, keyDim, valueDim } = input
  const { window = all, scale = 1 / Math.sqrt(keyDim), softCap, causal = true } = options
  const { chunk, chunkOffset = 0, segments, start = 0 } = options
  const out = new Float64Array(queryLen * numQHeads * valueDim)
  const lse = new Float64Array(queryLen * numQHeads).fill(-Infinity)
  const sees = (position: number, j: number): boolean =>
    (!causal || j <= position) && j >= start &&
    (chunk === undefined ||
      Math.floor((j - chunkOffset) / chunk) === Math.floor((position - chunkOffset) / chunk)) &&
    (segments === undefined || (segments[j] === segments[position] && segments[j] !== -1)) &&
    (window.last === undefined || j > position - window.last || j < window.sinks)
  for (let i = 0; i < queryLen; i++) {
    const position = contextLen - queryLen + i
    for (let h = 0; h < numQHeads; h++) {
      const kh = Math.floor(h / (numQHeads / keyHeads))
      const vh = Math.floor(h / (numQHeads / valueHeads))
      const row = i * numQHeads + h
      const scores: Array<readonly [j: number, score: number]> = []
      for (let j = 0; j < contextLen; j++) {
        if (!sees(position, j)) continue
        let dot = 0
        for (let d = 0; d < keyDim; d++) {
          dot += q[row * keyDim + d]! * k[(j * keyHeads + kh) * keyDim + d]!
        }
        const s = dot * scale
        scores.push([j, softCap === undefined ? s : softCap * Math.tanh(s / softCap)])
      }
      if (scores.length === 0) continue
      const max = scores.reduce((m, [, s]) => Math.max(m, s), -Infinity)
      const sum = scores.reduce((total, [, s]) => total + Math.exp(s - max), 0)
      lse[row] = max + Math.log(sum)
      for (const [j, s] of scores) {
        const weight = Math.exp(s - max) / sum
        for (let d = 0; d < valueDim; d++) {
          out[row * valueDim + d]! += weight * v[(j * valueHeads + vh) * valueDim + d]!
        }
      }
    }
  }
  return { out, lse }
}
