/** Fewer rows. @module */
import fc from "fast-check"
import { able, type Command, index, played } from "../command.ts"

/** A new value: without the last `back` rows. */
export const truncate = (value: number, back: number): Command => ({
  check: able("truncate"),
  run: played((player) => player.truncate(value, back)),
  toString: () => `truncate(${value}, ${back})`,
})

/** Any of them, also such as must be refused. */
export const truncates: fc.Arbitrary<Command> = fc.tuple(index, fc.integer({ min: -1, max: 6 }))
  .map(([value, back]) => truncate(value, back))
