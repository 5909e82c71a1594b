/** Somebody gives up. @module */
import type fc from "fast-check"
import { able, type Command, index, played } from "../command.ts"

/** Interrupts one of the transactions that were begun. */
export const interrupt = (running: number): Command => ({
  check: able("interrupt"),
  run: played((player) => player.interrupt(running)),
  toString: () => `interrupt(${running})`,
})

/** Any of them. */
export const interrupts: fc.Arbitrary<Command> = index.map(interrupt)
