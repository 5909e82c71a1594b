/** What commands are played on. @module */
import type fc from "fast-check"
import type { Act } from "./acts.ts"
import type { Name, Tally } from "./laws.ts"

/** How a submit goes wrong: it never runs, it runs and fails, or it fails and runs when others are through. */
export type Fault = "refused" | "ran" | "late"

/** What is asked of attention: which positions are seen and how scores are made. */
export interface Question {
  /** Positions a query sees, its own included; all unless given. */
  readonly last?: number
  /** First positions that stay visible besides. */
  readonly sinks?: number
  /** Multiplies scores; 1 / √dim unless given. */
  readonly scale?: number
  /** Bounds scores: `cap · tanh(score / cap)`. */
  readonly softCap?: number
  /** Queries of each cache, the last at its last position. */
  readonly queries: number
}

/** What a program can do. Values and leases are counted back from the newest, and around. */
export interface Verbs {
  /** `count` rows after those of a value. */
  readonly append: (value: number, count: number) => Promise<void>
  /** Replaces `count` rows; the first stands `back` before the end. */
  readonly write: (value: number, back: number, count: number) => Promise<void>
  /** A value once more. */
  readonly fork: (value: number) => Promise<void>
  /** Takes `back` rows off the end. */
  readonly truncate: (value: number, back: number) => Promise<void>
  /** The layers of a group no longer see `more` further rows at the beginning. */
  readonly drop: (value: number, more: number, group: number) => Promise<void>
  /** Runs acts as one transaction, to its end or until it is interrupted after `stop` waits. */
  readonly run: (lease: number, acts: ReadonlyArray<Act>, stop: number | undefined) => Promise<void>
  /** Starts acts as one transaction, and goes on. */
  readonly begin: (lease: number, acts: ReadonlyArray<Act>) => Promise<void>
  /** Lets one of those that wait go on. */
  readonly tick: (waiting: number) => Promise<void>
  /** Gives up one that was begun. */
  readonly interrupt: (running: number) => Promise<void>
  /** The next submit goes wrong. */
  readonly fail: (fault: Fault) => Promise<void>
  /** Opens a lease. */
  readonly open: () => Promise<void>
  /** A lease holds these values and no others. */
  readonly keep: (lease: number, values: ReadonlyArray<number>) => Promise<void>
  /** Closes a lease. */
  readonly close: (lease: number) => Promise<void>
  /** Saves a value, restores it elsewhere, and reads it there. */
  readonly snapshot: (lease: number, value: number) => Promise<void>
  /** Attends to values in one batch, then alone, then with other numbers where nobody may look. */
  readonly attend: (
    lease: number,
    values: ReadonlyArray<number>,
    question: Question,
  ) => Promise<void>
  /** Attends to a value in parts that end at these positions, and merges what they give. */
  readonly merge: (lease: number, value: number, cuts: ReadonlyArray<number>) => Promise<void>
}

/** Names of what a program can do. */
export type Verb = keyof Verbs

/** A cache under test in one program, with the naive model beside it. */
export interface Player extends Verbs {
  /** Called before each command. */
  readonly before: () => void
  /** Called after each command: what must hold at any time. */
  readonly check: () => Promise<void>
  /** Called last: everything is read again, then closed; nothing may be left. */
  readonly end: () => Promise<void>
}

/** What programs can be played on: each on a new player. */
export interface Stage<Config> {
  /** What a printed program calls it. */
  readonly name: string
  /** Programs are tried on any of these. */
  readonly configs: fc.Arbitrary<Config>
  /** What its players can do; other commands are left out of programs. */
  readonly can: ReadonlySet<Verb>
  /** Laws that its players never put to the test, and why. */
  readonly unchecked: ReadonlyMap<Name, string>
  /** A new player. */
  readonly open: (config: Config, tally: Tally) => Promise<Player>
}
