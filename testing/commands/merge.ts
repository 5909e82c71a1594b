/** Attention in parts. @module */
import fc from "fast-check"
import { able, type Command, index, lease, played } from "../command.ts"

/** Attends to a value in parts that end at these positions, and merges what they give in the order given. */
export const merge = (of: number, value: number, cuts: ReadonlyArray<number>): Command => ({
  check: able("merge"),
  run: played((player) => player.merge(of, value, cuts)),
  toString: () => `merge(${of}, ${value}, [${cuts.join(", ")}])`,
})

/** Any of them. */
export const merges: fc.Arbitrary<Command> = fc.tuple(
  lease,
  index,
  fc.uniqueArray(fc.integer({ min: 1, max: 24 }), { maxLength: 5 }),
).map(([of, value, cuts]) => merge(of, value, cuts))
