/** How many cases a property is tried on, and which: `RUNS` and `FC_SEED` of the environment. @module */
import process from "node:process"

/** What fast-check is told. */
export interface Runs {
  readonly numRuns: number
  readonly seed?: number
}

/** As many cases as RUNS says, or this many; the same ones when FC_SEED is given. */
export const runs = (numRuns: number): Runs => {
  const { RUNS, FC_SEED } = process.env
  return {
    numRuns: RUNS === undefined ? numRuns : Number(RUNS),
    ...(FC_SEED === undefined ? {} : { seed: Number(FC_SEED) }),
  }
}
