/** To bytes and back. @module */
import fc from "fast-check"
import { able, type Command, index, lease, played } from "../command.ts"

/** Saves a value, restores it elsewhere, and reads it there. */
export const snapshot = (of: number, value: number): Command => ({
  check: able("snapshot"),
  run: played((player) => player.snapshot(of, value)),
  toString: () => `snapshot(${of}, ${value})`,
})

/** Any of them. */
export const snapshots: fc.Arbitrary<Command> = fc.tuple(lease, index)
  .map(([of, value]) => snapshot(of, value))
