/** One transaction among others. @module */
import fc from "fast-check"
import { type Act, acts, show } from "../acts.ts"
import { able, type Command, lease, played } from "../command.ts"

/** Starts acts under a lease as one transaction, and goes on: `tick` lets it go on, `interrupt` ends it. */
export const begin = (of: number, all: ReadonlyArray<Act>): Command => ({
  check: able("begin"),
  run: played((player) => player.begin(of, all)),
  toString: () => `begin(${of}, ${show(all)})`,
})

/** Any of them. */
export const begins: fc.Arbitrary<Command> = fc.tuple(lease, acts)
  .map(([of, all]) => begin(of, all))
