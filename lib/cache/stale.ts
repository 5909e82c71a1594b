/** Is a value still there? @module */
import { StaleCache } from "../errors.ts"
import { isHeld } from "./Claim.ts"
import { type KvCache, reach } from "./value.ts"

/**
 * Why a value cannot be read any more. O(1) while an owner is known to hold it, else O(blocks of the value);
 * asked once when an effect begins, never in pure code.
 */
export const stale = (value: KvCache): StaleCache | undefined => {
  let at = value
  for (; at.node.tables === undefined; at = at.node.base!) {
    if (at.node.lost) return new StaleCache({ group: 0, block: -1, generation: 0, now: 0 })
    if (at.node.pending !== undefined && at.node.rows === undefined) return // its step is under way
  }
  if (isHeld(at)) return
  for (const [group, { id, generation }] of reach(at)) {
    const now = at.arena.ledgers[group]!.generation[id]!
    if (now !== generation) return new StaleCache({ group, block: id, generation, now })
  }
}
