/** How far loading is, in a line. @module */
import type { Progress } from "../model/Llama.ts"

/** Seconds until all is done, at the mean pace so far; undefined where there is nothing to judge by, or to wait for. */
export const secondsLeft = (
  { done, total }: Pick<Progress, "done" | "total">,
  elapsedMs: number,
): number | undefined => {
  const left = elapsedMs * (total - done) / done / 1000
  return Number.isFinite(left) && left > 0 ? left : undefined
}

/** `2 s`, `3 min`, rounded up. */
const duration = (seconds: number): string =>
  seconds <= 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1)

/** `loading NAME: 45.2 of 98.4 MB (46 %), 2 s left`. The time is since its phase began. */
export const loadingLine = (
  name: string,
  { phase, done, total }: Progress,
  elapsedMs: number,
): string => {
  if (phase === "header") return `loading ${name}: reading its header`
  const share = total === 0 ? 100 : Math.floor(100 * done / total)
  const left = secondsLeft({ done, total }, elapsedMs)
  const wait = left === undefined ? "" : `, ${duration(left)} left`
  return `loading ${name}: ${megabytes(done)} of ${megabytes(total)} MB (${share} %)${wait}`
}
