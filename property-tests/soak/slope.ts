/** How fast something grows: a line through samples, and how sure it is. @module */

/** A figure at a time. */
export interface Point {
  readonly hours: number
  readonly value: number
}

/** The line's rise an hour, and its standard error. */
export interface Slope {
  readonly slope: number
  readonly error: number
}

/**
 * Least squares. With fewer than three points, or all at one time, nothing is known: the error is infinite. Memory goes
 * up and down in steps that last, so points beside each other say the same: the error takes their number for smaller by
 * how much each deviation is like the one before it, as for a process of first order.
 */
export const slopeOf = (points: ReadonlyArray<Point>): Slope => {
  const n = points.length
  const sum = (of: (point: Point, i: number) => number) =>
    points.reduce((total, point, i) => total + of(point, i), 0)
  const [x, y] = [sum(({ hours }) => hours) / n, sum(({ value }) => value) / n]
  const spread = sum(({ hours }) => (hours - x) ** 2)
  if (n < 3 || spread === 0) return { slope: 0, error: Infinity }
  const slope = sum(({ hours, value }) => (hours - x) * (value - y)) / spread
  const off = points.map(({ hours, value }) => value - y - slope * (hours - x))
  const rest = sum((_, i) => off[i]! ** 2)
  const like = sum((_, i) => i === 0 ? 0 : off[i]! * off[i - 1]!) / rest
  const lasting = Math.min(0.95, Math.max(0, like || 0)) // a line without deviations has none that last
  const error = Math.sqrt(rest / (n - 2) / spread * (1 + lasting) / (1 - lasting))
  return { slope, error }
}

/** Is it flat? Not where it surely rises faster than so much an hour: two standard errors from it and more. */
export const isFlat = ({ slope, error }: Slope, most: number): boolean => slope - 2 * error <= most
