/** A device that lets one down. @module */
import fc from "fast-check"
import { able, type Command, played } from "../command.ts"
import type { Fault } from "../player.ts"

/** The next submit goes wrong; said twice, the next two do. */
export const fail = (fault: Fault): Command => ({
  check: able("fail"),
  run: played((player) => player.fail(fault)),
  toString: () => `fail("${fault}")`,
})

/** Any of them. */
export const fails: fc.Arbitrary<Command> = fc.constantFrom<Fault>("refused", "ran", "late")
  .map(fail)
