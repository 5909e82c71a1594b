/** What a bench says, and how it is printed and saved. @module */
import type { Effect } from "effect"

/** One number. */
export interface Line {
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly params: Readonly<Record<string, string | number>>
  /** What it is measured against, in the same run. */
  readonly peer?: string
  readonly peerValue?: number
}

/** One question. */
export interface Bench {
  readonly name: string
  readonly device: string
  /** Checks what it will time, then times it; a wrong result is a defect. */
  readonly run: Effect.Effect<ReadonlyArray<Line>>
}

/** A line as it is saved. */
export interface Saved extends Line {
  readonly device: string
  /** Above 1 where ours is better. */
  readonly ratio?: number
}
