/** One lease less. @module */
import type fc from "fast-check"
import { able, type Command, lease, played } from "../command.ts"

/** Closes a lease's scope, whatever runs under it. */
export const close = (of: number): Command => ({
  check: able("close"),
  run: played((player) => player.close(of)),
  toString: () => `close(${of})`,
})

/** Any of them. */
export const closes: fc.Arbitrary<Command> = lease.map(close)
