/**
 * Timing. Two sides of a ratio are measured in turns within one run, so that both meet the same machine; a
 * benchmark library measures one after the other, which on a shared machine decides the ratio by chance.
 *
 * @module
 */
import { Effect } from "effect"

/** The middle one, or the mean of the middle two. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length / 2
  return (sorted[Math.ceil(half) - 1]! + sorted[Math.floor(half)]!) / 2
}

/** One side. */
export interface Side<E, R> {
  readonly run: Effect.Effect<unknown, E, R>
  /** Puts things back; not timed. */
  readonly after?: Effect.Effect<unknown, E, R>
}

/** How often: the first `warm` rounds do not count. */
export interface Rounds {
  readonly warm: number
  readonly count: number
}

/** Median milliseconds of each side, run by turns. */
export const sides = <K extends string, E, R>(
  { warm, count }: Rounds,
  each: { readonly [P in K]: Side<E, R> },
): Effect.Effect<{ readonly [P in K]: number }, E, R> =>
  Effect.gen(function* () {
    const names = Object.keys(each) as Array<K>
    const times = new Map(names.map((name) => [name, Array<number>()]))
    for (let round = 0; round < warm + count; round++) {
      // Who comes first meets the processor's caches as the other left them.
      for (const name of round % 2 === 0 ? names : names.toReversed()) {
        const { run, after } = each[name]
        const start = performance.now()
        yield* run
        const ms = performance.now() - start
        if (round >= warm) times.get(name)!.push(ms)
        if (after !== undefined) yield* after
      }
    }
    return Object.fromEntries(names.map((name) => [name, median(times.get(name)!)])) as {
      [P in K]: number
    }
  })
