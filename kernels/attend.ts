/**
 * The arithmetic of attention for the twin: which positions a token sees, their rows decoded, one query over
 * them. The order of every sum depends on the token's own positions only, so that a row alone and in any
 * batch gives the same bits.
 *
 * @module
 */
import { LSE_EMPTY } from "./constants.ts"
import { decode } from "./decode.ts"
import type { ArrayOf } from "./kernel.ts"
import { address, type Place, type Pool } from "./pool.ts"

/** What a token sees: positions `first` … `sinks` − 1 and `start` … `position`; none if first > position. */
export interface Sight {
  readonly row: number
  readonly first: number
  readonly sinks: number
  readonly start: number
  readonly position: number
}

/** Reads (row, first, position) of a token and applies the window, whose last position is the token's own. */
export const sightOf = (
  visible: Uint32Array,
  token: number,
  { window, sinks }: { readonly window: number; readonly sinks: number },
): Sight => {
  const first = visible[3 * token + 1]!, position = visible[3 * token + 2]!
  const start = window === 0 ? first : Math.max(first, position + 1 - window)
  return { row: visible[3 * token]!, first, sinks: Math.min(sinks, start), start, position }
}

/** What any of these tokens, of one sequence, sees. */
export const union = (sights: ReadonlyArray<Sight>): Sight => ({
  row: sights[0]!.row,
  first: Math.min(...sights.map((s) => s.first)),
  sinks: Math.max(...sights.map((s) => s.sinks)),
  start: Math.min(...sights.map((s) => s.start)),
  position: Math.max(...sights.map((s) => s.position)),
})

/** Decodes the rows of what is seen: position p to row `p − first` of `to`. */
export const fetch = (
  dtype: Pool,
  pool: ArrayOf[Pool],
  table: Uint32Array,
  place: Place,
  head: number,
  dim: number,
  { first, sinks, start, position }: Sight,
  to: Float64Array,
): void => {
  const { blockSize, slotStride } = place
  const range = (from: number, end: number) => {
    for (let p = from; p < end;) {
      const offset = p % blockSize
      let at = address(place, table[(p - offset) / blockSize]! * blockSize + offset, head)
      for (const stop = Math.min(end, p - offset + blockSize); p < stop; p++, at += slotStride) {
        decode[dtype](pool, at, dim, to, (p - first) * dim)
      }
    }
  }
  range(first, Math.min(sinks, position + 1))
  range(Math.max(start, sinks), position + 1)
}

/** Scores of rows `from` … `end` − 1; returns the largest. */
const score = (
  q: Float32Array,
  keys: Float64Array,
  from: number,
  end: number,
  { scale, softCap }: { readonly scale: number; readonly softCap: number },
  scores: Float64Array,
): number => {
  const dim = q.length
  let max = -Infinity
  for (let p = from; p < end; p++) {
    const row = p * dim
    let a = 0, b = 0, c = 0, d = 0, i = 0
    for (; i + 3 < dim; i += 4) {
      a += q[i]! * keys[row + i]!
      b += q[i + 1]! * keys[row + i + 1]!
      c += q[i + 2]! * keys[row + i + 2]!
      d += q[i + 3]! * keys[row + i + 3]!
    }
    for (; i < dim; i++) a += q[i]! * keys[row + i]!
    const s = (a + b + c + d) * scale
    const capped = softCap === 0 ? s : softCap * Math.tanh(s / softCap)
    scores[p] = capped
    if (capped > max) max = capped
  }
  return max
}

/** Adds exp(score − max) times each row to `mean`, two rows at a time; returns the sum of the factors. */
const blend = (
  values: Float64Array,
  from: number,
  end: number,
  max: number,
  scores: Float64Array,
  mean: Float64Array,
): number => {
  const dim = mean.length
  let sum = 0, p = from
  for (; p + 1 < end; p += 2) {
    const u = Math.exp(scores[p]! - max), w = Math.exp(scores[p + 1]! - max)
    const row = p * dim, next = row + dim
    sum += u + w
    for (let i = 0; i < dim; i++) {
      mean[i] = mean[i]! + (u * values[row + i]! + w * values[next + i]!)
    }
  }
  if (p < end) {
    const u = Math.exp(scores[p]! - max)
    const row = p * dim
    sum += u
    for (let i = 0; i < dim; i++) mean[i] = mean[i]! + u * values[row + i]!
  }
  return sum
}

/**
 * One query over the rows of `keys` and `values`, row 0 of which is position `origin`: leaves the output in
 * `mean` and returns the natural log of the sum of exponentials.
 */
export const attend = (
  q: Float32Array,
  keys: Float64Array,
  values: Float64Array,
  sight: Sight,
  origin: number,
  options: { readonly scale: number; readonly softCap: number },
  scores: Float64Array,
  mean: Float64Array,
): number => {
  mean.fill(0)
  const end = sight.position + 1 - origin
  const first = sight.first - origin, sinks = sight.sinks - origin, start = sight.start - origin
  if (first >= end) return LSE_EMPTY
  const max = Math.max(
    score(q, keys, first, sinks, options, scores),
    score(q, keys, start, end, options, scores),
  )
  const sum = blend(values, first, sinks, max, scores, mean) +
    blend(values, start, end, max, scores, mean)
  for (let i = 0; i < mean.length; i++) mean[i] = mean[i]! / sum
  return max + Math.log(sum)
}
