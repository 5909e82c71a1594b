/** Who holds blocks: leases, and effects in flight. @module */
import type { Arena } from "./Arena.ts"
import * as Ledger from "./Ledger.ts"
import { type KvCache, placed, reach } from "./value.ts"

/** A holder of blocks. References of a block = open owners that hold it (law 3). */
export interface Owner {
  readonly arena: Arena
  /** Block ids by layer group. */
  readonly held: ReadonlyArray<Set<number>>
  /**
   * Values an effect in flight reads or grows from. They become held blocks only when somebody is about to
   * let go, so that pinning costs O(1). A lease has none.
   */
  pins: ReadonlyArray<KvCache>
  open: boolean
  /** Moves when the owner lets anything go: a memo from an older epoch proves nothing. */
  epoch: number
}

/** Opens an owner of blocks of this arena. */
export const open = (arena: Arena, pins: ReadonlyArray<KvCache> = []): Owner => {
  const held = arena.ledgers.map(() => new Set<number>())
  const owner: Owner = { arena, held, pins, open: true, epoch: 0 }
  arena.owners.add(owner)
  return owner
}

/** Holds every block a placed value sees. */
export const retainReach = (owner: Owner, value: KvCache): void => {
  for (const [group, ref] of reach(value)) {
    Ledger.retain(owner.arena.ledgers[group]!, owner.held[group]!, ref.id)
  }
}

/** Before anybody lets go: flights hold what their values reach. O(blocks in flight), and only then. */
export const pinAll = (arena: Arena): void => {
  for (const owner of arena.owners) {
    for (const value of new Set(owner.pins.map(placed))) retainReach(owner, value)
  }
}

/** Lets blocks go, tail first, so that a sequence claimed next lies in order again. */
export const letGo = (owner: Owner, group: number, ids: ReadonlyArray<number>): void => {
  const ledger = owner.arena.ledgers[group]!
  for (const id of ids.toReversed()) Ledger.release(ledger, owner.held[group]!, id)
}

/** Never waits, never fails; idempotent. O(blocks held). */
export const close = (owner: Owner): void => {
  if (!owner.open) return
  const holds = owner.held.some((ids) => ids.size > 0)
  owner.pins = []
  if (holds) pinAll(owner.arena)
  owner.open = false
  owner.epoch++
  owner.held.forEach((ids, group) => letGo(owner, group, [...ids]))
  owner.arena.owners.delete(owner)
}
