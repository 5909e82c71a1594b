/** Repeats trials for some time, each for its share of it. @module */
import { seedOf } from "./seeds.ts"
import type { Batch, Trial } from "./trial.ts"

/** A batch, by what it takes to try it again. */
export interface Named {
  readonly trial: string
  readonly adapter: string
  readonly seed: number
}

/** What happens to a batch, as it happens. */
export type Event =
  & Named
  & (
    | { readonly kind: "begins" }
    | ({ readonly kind: "ended"; readonly seconds: number } & Batch)
    | { readonly kind: "found"; readonly seconds: number; readonly text: string }
  )

/** A trial that found so much has said what it can say. */
const enough = 3

interface Turn {
  readonly trial: Trial
  /** Seconds it had, by its share. */
  used: number
  batches: number
  found: number
}

/** Every trial once, then whichever had least of its share, until the time is over; one of parts until they are done. */
export const repeat = async (
  trials: ReadonlyArray<Trial>,
  seed: number,
  seconds: number,
  tell: (event: Event) => void,
): Promise<void> => {
  const now = (): number => performance.now() / 1000
  const end = now() + seconds
  let turns: ReadonlyArray<Turn> = trials.map((trial) => ({ trial, used: 0, batches: 0, found: 0 }))
  while (turns.some(({ batches }) => batches === 0) || now() < end) {
    const turn = turns.toSorted((a, b) => a.used - b.used)[0]
    if (turn === undefined) return
    const { name, adapter, share, parts, batch } = turn.trial
    const number = turn.batches++
    const own = parts === undefined ? seedOf(seed, name, adapter, number) : number
    const named = { trial: name, adapter, seed: own }
    const start = now()
    tell({ ...named, kind: "begins" })
    try {
      const { executions, states } = await batch(named.seed)
      tell({ ...named, kind: "ended", seconds: now() - start, executions, states })
    } catch (cause) {
      const text = cause instanceof Error ? cause.stack ?? String(cause) : String(cause)
      tell({ ...named, kind: "found", seconds: now() - start, text })
      turn.found++
    }
    turn.used += (now() - start) / share
    turns = turns.filter(({ found, batches, trial: { parts } }) =>
      found < enough && batches < (parts ?? Infinity)
    )
  }
}
