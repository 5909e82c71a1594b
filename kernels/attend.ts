/**
 * The arithmetic of attention for the twin: which positions a token sees, their rows decoded, one query over
 * them. The order of every sum depends on the token's own positions only, so that a row alone and in any
 * batch gives the same bits.
 *
 * @module
 */
import { LSE_EMPTY } from "./constants.ts"
import type { ArrayOf } from "./kernel.ts"
import { address, type Place, type Pool, widen } from "./pool.ts"

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

/** Brings the rows of what is seen together: position p to row `p − first` of `to`. */
export const fetch = (
  dtype: Pool,
  pool: ArrayOf[Pool],
  table: Uint32Array,
  place: Place,
  head: number,
  dim: number,
  { first, sinks, start, position }: Sight,
  to: Float32Array,
): void => {
  const { blockSize, slotStride } = place
  const run = slotStride === dim ? blockSize : 1 // slots whose rows lie side by side
  const range = (from: number, end: number) => {
    for (let p = from; p < end;) {
      const offset = p % blockSize
      const at = address(place, table[(p - offset) / blockSize]! * blockSize + offset, head)
      const n = Math.min(run - offset % run, end - p)
      widen[dtype](pool, at, n * dim, to, (p - first) * dim)
      p += n
    }
  }
  range(first, Math.min(sinks, position + 1))
  range(Math.max(start, sinks), position + 1)
}

/** Scores of rows `from` … `end` − 1, two at a time; returns the largest. */
const score = (
  q: Float32Array,
  keys: Float32Array,
  from: number,
  end: number,
  { scale, softCap }: { readonly scale: number; readonly softCap: number },
  scores: Float64Array,
): number => {
  const dim = q.length
  let max = -Infinity
  for (let p = from; p < end; p += 2) {
    const p1 = Math.min(p + 1, end - 1)
    const row = p * dim, next = p1 * dim
    let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0, i = 0
    for (; i + 3 < dim; i += 4) {
      const s = q[i]!, t = q[i + 1]!, u = q[i + 2]!, v = q[i + 3]!
      a += s * keys[row + i]!
      b += t * keys[row + i + 1]!
      c += u * keys[row + i + 2]!
      d += v * keys[row + i + 3]!
      e += s * keys[next + i]!
      f += t * keys[next + i + 1]!
      g += u * keys[next + i + 2]!
      h += v * keys[next + i + 3]!
    }
    for (; i < dim; i++) a += q[i]! * keys[row + i]!, e += q[i]! * keys[next + i]!
    const s = (a + b + c + d) * scale, t = (e + f + g + h) * scale
    scores[p] = softCap === 0 ? s : softCap * Math.tanh(s / softCap)
    scores[p1] = softCap === 0 ? t : softCap * Math.tanh(t / softCap)
    max = Math.max(max, scores[p]!, scores[p1]!)
  }
  return max
}

/**
 * Adds exp(score − max) times each row to `mean`, two rows at a time; returns the sum of the factors. Four
 * elements of `mean` at a time, which stay in registers over all rows.
 */
const blend = (
  values: Float32Array,
  from: number,
  end: number,
  max: number,
  scores: Float64Array,
  mean: Float64Array,
): number => {
  const dim = mean.length
  const even = end - (end - from) % 2
  let sum = 0
  for (let p = from; p < end; p++) scores[p] = Math.exp(scores[p]! - max)
  for (let p = from; p < even; p += 2) sum += scores[p]! + scores[p + 1]!
  if (even < end) sum += scores[even]!
  let i = 0
  for (; i + 3 < dim; i += 4) {
    let a = mean[i]!, b = mean[i + 1]!, c = mean[i + 2]!, d = mean[i + 3]!
    for (let p = from, u = from * dim + i; p < even; p += 2, u += 2 * dim) {
      const s = scores[p]!, t = scores[p + 1]!, v = u + dim
      a += s * values[u]! + t * values[v]!
      b += s * values[u + 1]! + t * values[v + 1]!
      c += s * values[u + 2]! + t * values[v + 2]!
      d += s * values[u + 3]! + t * values[v + 3]!
    }
    if (even < end) {
      const s = scores[even]!, u = even * dim + i
      a += s * values[u]!
      b += s * values[u + 1]!
      c += s * values[u + 2]!
      d += s * values[u + 3]!
    }
    mean[i] = a, mean[i + 1] = b, mean[i + 2] = c, mean[i + 3] = d
  }
  for (; i < dim; i++) {
    let a = mean[i]!
    for (let p = from; p < even; p += 2) {
      a += scores[p]! * values[p * dim + i]! + scores[p + 1]! * values[(p + 1) * dim + i]!
    }
    if (even < end) a += scores[even]! * values[even * dim + i]!
    mean[i] = a
  }
  return sum
}

/**
 * One query over the rows of `keys` and `values`, row 0 of which is position `origin`: leaves the output in
 * `mean` and returns the natural log of the sum of exponentials.
 */
export const attend = (
  q: Float32Array,
  keys: Float32Array,
  values: Float32Array,
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
