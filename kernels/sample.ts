/** Draws one id from each row of logits. @module */
import { fold } from "./grid.ts"
import { bitsOf } from "./half.ts"
import * as Kernel from "./kernel.ts"
import { gumbel } from "./noise.ts"
import { source } from "./sample.wgsl.ts"

const spec = {
  name: "sample",
  bindings: {
    logits: "read f32[rows vocab]",
    noise: "read u32[rows two]",
    out: "write u32[rows]",
  },
  overrides: { WG: "u32" },
  params: {
    rows: "u32",
    vocab: "u32",
    temperature: "f32",
    topK: "u32",
    topP: "f32",
    minP: "f32",
  },
} as const

/** A u32 that orders as the f32 with these bits does; both zeros are one. */
const orderOf = (bits: number): number =>
  bits === 0x8000_0000 ? bits : bits >>> 31 === 1 ? ~bits >>> 0 : (bits | 0x8000_0000) >>> 0

/** The largest u32 for which `holds`, which holds up to some number and for 0. */
const largest = (holds: (threshold: number) => boolean): number => {
  let found = 0
  for (let bit = 31; bit >= 0; bit--) {
    const next = (found | 1 << bit) >>> 0
    if (holds(next)) found = next
  }
  return found
}

/** Order of the last token that the filters keep. */
const threshold = (
  order: Uint32Array,
  weights: Float64Array,
  { topK, topP }: { readonly topK: number; readonly topP: number },
): number => {
  const count = (from: number) => {
    let n = 0
    for (let i = 0; i < order.length; i++) if (order[i]! >= from) n++
    return n
  }
  const mass = (from: number) => {
    let sum = 0
    for (let i = 0; i < order.length; i++) if (order[i]! >= from) sum += weights[i]!
    return sum
  }
  const kept = topK === 0 ? 0 : largest((from) => count(from) >= topK)
  if (topP >= 1) return kept
  const enough = topP * mass(kept)
  return largest((from) => mass(from) >= enough)
}

/**
 * The kernel. Temperature first; then `topK` (0: off) keeps the largest, `topP` (1: off) the fewest of these
 * that hold so much of their probability, `minP` (0: off) those at least so probable, relative to the first.
 * Tokens equal to the last one kept stay. The draw is the argmax of logit / temperature + gumbel, where
 * `noise` is (seed, position of the token drawn).
 */
export const sample: Kernel.Kernel<typeof spec> = Kernel.make(spec, {
  source,
  grid: ({ rows }) => fold(rows, 1),
  twin: ({ logits, noise, out }, params, { rows, vocab }) => {
    const { temperature, minP } = params
    const weights = new Float64Array(vocab)
    for (let r = 0; r < rows; r++) {
      const row = logits.subarray(r * vocab, (r + 1) * vocab)
      const order = bitsOf(row).map(orderOf)
      const max = row.reduce((most, x) => Math.max(most, x), -Infinity)
      for (let i = 0; i < vocab; i++) weights[i] = Math.exp((row[i]! - max) / temperature)
      const last = threshold(order, weights, params)
      const [seed, position] = [noise[2 * r]!, noise[2 * r + 1]!]
      let best = 0, most = -Infinity
      for (let i = 0; i < vocab; i++) {
        if (order[i]! < last || weights[i]! < minP) continue
        const score = (row[i]! - max) / temperature + gumbel(seed, position, i)
        if (score > most) most = score, best = i
      }
      out[r] = best
    }
  },
})
