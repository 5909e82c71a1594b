/** A later beginning. @module */
import fc from "fast-check"
import { able, type Command, index, played } from "../command.ts"

/** A new value: the layers of a group no longer see `more` further rows at its beginning. */
export const drop = (value: number, more: number, group: number): Command => ({
  check: able("drop"),
  run: played((player) => player.drop(value, more, group)),
  toString: () => `drop(${value}, ${more}, ${group})`,
})

/** Any of them, also such as must be refused. */
export const drops: fc.Arbitrary<Command> = fc.tuple(index, fc.nat(7), fc.nat(2))
  .map(([value, more, group]) => drop(value, more, group))
