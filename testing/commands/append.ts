/** Rows after a value's own. @module */
import fc from "fast-check"
import { able, type Command, index, played } from "../command.ts"

/** A new value: `count` rows after those of a value. */
export const append = (value: number, count: number): Command => ({
  check: able("append"),
  run: played((player) => player.append(value, count)),
  toString: () => `append(${value}, ${count})`,
})

/** Any of them. */
export const appends: fc.Arbitrary<Command> = fc.tuple(index, fc.integer({ min: 1, max: 6 }))
  .map(([value, count]) => append(value, count))
