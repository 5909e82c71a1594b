/** One transaction, to its end. @module */
import fc from "fast-check"
import { type Act, acts, show } from "../acts.ts"
import { able, type Command, lease, played } from "../command.ts"

/** Runs acts under a lease as one transaction, to its end or until it is interrupted after `stop` waits. */
export const run = (of: number, all: ReadonlyArray<Act>, stop?: number): Command => ({
  check: able("run"),
  run: played((player) => player.run(of, all, stop)),
  toString: () => `run(${of}, ${show(all)}${stop === undefined ? "" : `, ${stop}`})`,
})

/** Any of them. */
export const runs: fc.Arbitrary<Command> = fc.tuple(
  lease,
  acts,
  fc.option(fc.nat(4), { freq: 4, nil: undefined }),
).map(([of, all, stop]) => run(of, all, stop))
