/** Only these. @module */
import fc from "fast-check"
import { able, type Command, lease, played, some } from "../command.ts"

/** The lease holds these values and nothing else. */
export const keep = (of: number, values: ReadonlyArray<number>): Command => ({
  check: able("keep"),
  run: played((player) => player.keep(of, values)),
  toString: () => `keep(${of}, [${values.join(", ")}])`,
})

/** Any of them. */
export const keeps: fc.Arbitrary<Command> = fc.tuple(lease, some)
  .map(([of, values]) => keep(of, values))
