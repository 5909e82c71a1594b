/** One lease more. @module */
import fc from "fast-check"
import { able, type Command, played } from "../command.ts"

/** Opens a lease. */
export const open = (): Command => ({
  check: able("open"),
  run: played((player) => player.open()),
  toString: () => "open()",
})

/** It. */
export const opens: fc.Arbitrary<Command> = fc.constant(null).map(open)
