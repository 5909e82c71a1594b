/** Rows over a value's own. @module */
import fc from "fast-check"
import { able, type Command, index, played } from "../command.ts"

/** A new value: `count` rows replaced, the first of them `back` before the end; they may reach past it. */
export const write = (value: number, back: number, count: number): Command => ({
  check: able("write"),
  run: played((player) => player.write(value, back, count)),
  toString: () => `write(${value}, ${back}, ${count})`,
})

/** Any of them, also such as must be refused. */
export const writes: fc.Arbitrary<Command> = fc.tuple(
  index,
  fc.integer({ min: -1, max: 6 }),
  fc.integer({ min: 1, max: 4 }),
).map(([value, back, count]) => write(value, back, count))
