/** What a command is. @module */
import type { Effect } from "effect"
import type { Table } from "./options.ts"

/** Every error of a command is tagged and has a message in one line. */
export interface Failure {
  readonly _tag: string
  readonly message: string
}

/** One word after `kvasir`. */
export interface Command {
  /** What stands after the word, besides options. */
  readonly takes: string
  readonly does: string
  readonly table: Table
  readonly run: (args: ReadonlyArray<string>) => Effect.Effect<void, Failure>
}
