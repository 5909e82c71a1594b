/** Somebody's turn. @module */
import type fc from "fast-check"
import { able, type Command, index, played } from "../command.ts"

/** Lets one of the transactions that wait go on to its next wait. */
export const tick = (waiting: number): Command => ({
  check: able("tick"),
  run: played((player) => player.tick(waiting)),
  toString: () => `tick(${waiting})`,
})

/** Any of them. */
export const ticks: fc.Arbitrary<Command> = index.map(tick)
