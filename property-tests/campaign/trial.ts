/** What a campaign repeats: something random that must hold, in batches that add up. @module */

/** What one batch did. */
export interface Batch {
  /** Programs, files, calls, … tried. */
  readonly executions: number
  /** Steps of them that were checked: commands of the programs, yield points, options walked, … */
  readonly states: number
}

/** One thing to try again and again. A batch that finds a fault throws, with all that is needed to see it again. */
export interface Trial {
  /** What the ledger calls its executions, as "law programs". */
  readonly name: string
  /** The adapter that it runs on; `host` where no device takes part. */
  readonly adapter: string
  /** Weight of its part of a campaign's time. */
  readonly share: number
  /** Where everything there is can be tried: how many batches that takes. Their seeds are then 0, 1, …, once each. */
  readonly parts?: number
  /** Tries what this seed gives, for about a second: the same seed gives the same batch. */
  readonly batch: (seed: number) => Promise<Batch>
}
