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

/** Milliseconds an effect takes. */
export const timed = <E, R>(effect: Effect.Effect<unknown, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    const start = performance.now()
    return Effect.map(effect, () => performance.now() - start)
  })

/** Median milliseconds of each side, run by turns; the first `warm` rounds do not count. */
export const sides = <K extends string, E, R>(
  rounds: { readonly warm: number; readonly count: number },
  each: { readonly [P in K]: Effect.Effect<unknown, E, R> },
): Effect.Effect<{ readonly [P in K]: number }, E, R> =>
  Effect.gen(function* () {
    const names = Object.keys(each) as Array<K>
    const times = new Map(names.map((name) => [name, Array<number>()]))
    for (let round = 0; round < rounds.warm + rounds.count; round++) {
      // Who comes first meets the caches that the other left.
      for (const name of round % 2 === 0 ? names : names.toReversed()) {
        const ms = yield* timed(each[name])
        if (round >= rounds.warm) times.get(name)!.push(ms)
      }
    }
    return Object.fromEntries(names.map((name) => [name, median(times.get(name)!)])) as {
      [P in K]: number
    }
  })
