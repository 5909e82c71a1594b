/** The most probable of some logits. @module */

/** A token and its logit. */
export type Logit = readonly [id: number, logit: number]

/** The `n` largest, largest first; the lower id first among equals. O(vocab · log vocab). */
export const top = (logits: ArrayLike<number>, n: number): ReadonlyArray<Logit> =>
  Array.from(logits, (logit, id): Logit => [id, logit])
    .sort((a, b) => b[1] - a[1] || a[0] - b[0])
    .slice(0, n)

/** Natural log of the sum of exponentials, in float64. O(n). */
export const logsumexp = (logits: ArrayLike<number>): number => {
  let max = -Infinity
  for (let i = 0; i < logits.length; i++) max = Math.max(max, logits[i]!)
  let sum = 0
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - max)
  return max + Math.log(sum)
}
