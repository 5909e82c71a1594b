/** The same value twice. @module */
import type fc from "fast-check"
import { able, type Command, index, played } from "../command.ts"

/** A value once more: what is done with one of the two must not show in the other. */
export const fork = (value: number): Command => ({
  check: able("fork"),
  run: played((player) => player.fork(value)),
  toString: () => `fork(${value})`,
})

/** Any of them. */
export const forks: fc.Arbitrary<Command> = index.map(fork)
