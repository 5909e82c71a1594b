/**
 * A claim: what one transaction may write, from the plan that was taken to the settlement that ends it.
 * `settle` is commit, rollback, interruption, end of answer and rejected draft alike.
 *
 * @module
 */
import { Deferred, Exit } from "effect"
import type { Open } from "../tensor/Recording.ts"
import * as Ledger from "./Ledger.ts"
import type { Owner } from "./Owner.ts"
import { retainReach } from "./Owner.ts"
import type { Place, Plan, Touched } from "./Plan.ts"
import * as Table from "./Table.ts"
import { endOf, type KvCache, type Node, placed } from "./value.ts"

/** Blocks and marks taken for one transaction, not yet settled. */
export interface Claim {
  /** The transaction it is part of: claims of one transaction may build on each other. */
  readonly transaction: Open
  readonly places: ReadonlyMap<Node, Place>
  /** Done when it is settled, landed or not. */
  readonly done: Deferred.Deferred<void>
}

/** The same tick as the plan: nothing can come between. O(blocks touched). */
export const claim = (transaction: Open, flight: Owner, plan: Plan): Claim => {
  const made: Claim = {
    transaction,
    places: new Map(plan.places.map((place) => [place.node, place])),
    done: Deferred.makeUnsafe(),
  }
  for (const [group, ledger] of flight.arena.ledgers.entries()) {
    const ids = plan.fresh[group]!
    ledger.numFree -= ids.length
    for (const id of ids) Ledger.retain(ledger, flight.held[group]!, id)
    for (const [id, mark] of plan.fill[group]!) ledger.fill[id] = mark
  }
  for (const node of made.places.keys()) node.pending = made
  return made
}

/** Does this owner (or, without one, any open owner) still hold all the value reaches? O(1). */
export const isHeld = ({ held }: KvCache, owner?: Owner): boolean =>
  held !== undefined && held.owner.open && held.epoch === held.owner.epoch &&
  (owner === undefined || held.owner === owner)

/** The owner holds all the value reaches. O(1) while its memo is current, else O(blocks of the value). */
export const hold = (owner: Owner, value: KvCache): void => {
  const at = placed(value)
  if (isHeld(at, owner)) return
  retainReach(owner, at)
  at.held = { owner, epoch: owner.epoch }
}

const lower = (place: Place, kept: number, claimed: Owner["arena"]): void => {
  const { blockSize } = claimed.layout
  const mark = (end: number, { from, index }: Touched): number =>
    Math.max(from, Math.min(blockSize, end - index * blockSize))
  const { node } = place
  for (const [group, touched] of place.touched.entries()) {
    const { fill } = claimed.ledgers[group]!
    for (const t of touched) {
      if (fill[t.id] !== mark(endOf(node), t)) {
        throw new Error("law 2: a mark raised by an unsettled claim was moved by somebody else")
      }
      fill[t.id] = mark(endOf(node, kept), t)
    }
  }
}

/**
 * Ends a claim, exactly once. `kept` says how many rows of each node stay, all unless named; undefined is
 * none: failure, interruption. The lease then holds what was placed and what it grew from; `values` remember
 * it. O(blocks touched), and O(blocks) the first time under a lease.
 */
export const settle = (
  ended: Claim,
  lease: Owner,
  kept: ReadonlyMap<Node, number> | undefined,
  values: ReadonlyArray<KvCache>,
): void => {
  const { arena } = lease
  const { blockSize } = arena.layout
  const rowsKept = (node: Node): number => kept === undefined ? 0 : kept.get(node) ?? node.count
  for (const place of [...ended.places.values()].reverse()) { // an older mark is right only after a younger
    const { node, tables } = place
    const rows = rowsKept(node)
    if (rows < node.count) lower(place, rows, arena)
    node.pending = undefined
    if (kept === undefined) {
      node.lost = node.rows === undefined
    } else {
      if (node.tables !== undefined) throw new Error("a placement is decided once")
      const blocks = Math.ceil(endOf(node, rows) / blockSize)
      node.tables = tables.map((table) => Table.take(table, blocks))
    }
  }
  if (kept === undefined) return
  for (const { base, node, touched } of ended.places.values()) {
    const rows = rowsKept(node)
    if (rows === 0) continue
    if (!ended.places.has(base.node)) hold(lease, base)
    const end = endOf(node, rows)
    for (const [group, blocks] of touched.entries()) {
      for (const { id, index } of blocks) {
        if (index * blockSize >= end) continue
        Ledger.retain(arena.ledgers[group]!, lease.held[group]!, id)
      }
    }
  }
  const memo = { owner: lease, epoch: lease.epoch }
  for (const value of values) if (ended.places.has(value.node)) value.held = memo
  for (const node of ended.places.keys()) [node.base, node.rows] = [undefined, undefined]
}

/** Lets those who wait for a node of this claim look again. */
export const finish = (ended: Claim): void => {
  Deferred.doneUnsafe(ended.done, Exit.void)
}
