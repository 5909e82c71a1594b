/**
 * Decides where owed nodes will lie. Pure over the ledgers: nothing changes before the plan is claimed.
 *
 * @module
 */
import { Result } from "effect"
import { OutOfBlocks } from "../errors.ts"
import type { Arena } from "./Arena.ts"
import * as Ledger from "./Ledger.ts"
import * as Table from "./Table.ts"
import { type KvCache, type Node, rowAt } from "./value.ts"

/** A block a placement writes: `from` slots of it were seen by the base; `index` is its place in the table. */
export interface Touched {
  readonly id: number
  readonly from: number
  readonly index: number
}

/** Where one node will lie, by layer group. */
export interface Place {
  readonly base: KvCache
  readonly node: Node
  readonly tables: ReadonlyArray<Table.Table>
  readonly touched: ReadonlyArray<ReadonlyArray<Touched>>
}

/** What the append kernel does in the layers of one group. No slot is read and written by the same work. */
export interface Work {
  /** (source slot, destination slot) pairs, flat: slots carried into a fresh block. */
  readonly copies: ReadonlyArray<number>
  /** (row, destination slot) pairs, flat, by the rows: nodes that share these share a launch. */
  readonly writes: ReadonlyMap<NonNullable<Node["rows"]>, ReadonlyArray<number>>
}

/** A decision, not yet taken. Arrays are by layer group. */
export interface Plan {
  readonly places: ReadonlyArray<Place>
  /** Blocks to take, in the order the free list gives them. */
  readonly fresh: ReadonlyArray<ReadonlyArray<number>>
  /** Fill marks afterwards. */
  readonly fill: ReadonlyArray<ReadonlyMap<number, number>>
  readonly work: ReadonlyArray<Work>
}

/** Nodes these values still owe, ancestors first, then in argument order. */
export const owed = (values: ReadonlyArray<KvCache>): ReadonlyArray<Node> => {
  const out = new Set<Node>()
  for (const value of values) {
    const chain: Array<Node> = []
    for (
      let { node } = value;
      node.tables === undefined && !out.has(node);
      node = node.base!.node
    ) {
      chain.push(node)
    }
    for (const node of chain.reverse()) out.add(node)
  }
  return [...out]
}

/** Tables of a node that is placed, or that an earlier claim of the same transaction is placing. */
export const tablesOf = (node: Node): ReadonlyArray<Table.Table> | undefined =>
  node.tables ?? node.pending?.places.get(node)?.tables

/** Does the node write this position? */
const writes = (node: Node, p: number): boolean =>
  p >= node.at && p < node.at + node.count && rowAt(node, p - node.at) >= 0

/** Where position `p` comes from: a slot written before this plan, or a row still in memory, to write again. */
const source = (
  value: KvCache,
  group: number,
  p: number,
): { readonly slot: number } | { readonly node: Node; readonly row: number } => {
  const { blockSize } = value.arena.layout
  let { node } = value
  for (let tables = tablesOf(node);; node = node.base!.node, tables = tablesOf(node)) {
    if (tables !== undefined) {
      const { id } = Table.at(tables[group]!, Math.floor(p / blockSize))!
      return { slot: id * blockSize + p % blockSize }
    }
    if (writes(node, p)) return { node, row: rowAt(node, p - node.at) }
  }
}

interface Draft {
  readonly fresh: Array<number>
  readonly fill: Map<number, number>
  readonly copies: Array<number>
  readonly writes: Map<NonNullable<Node["rows"]>, Array<number>>
}

/**
 * Places one node in one group. A block is continued in place if and only if its fill mark equals the slots
 * the base sees in it and none of those is rewritten; else a fresh block takes the seen slots along.
 */
const placeIn = (
  arena: Arena,
  group: number,
  seen: Table.Table,
  node: Node,
  draft: Draft,
): { readonly table: Table.Table; readonly touched: ReadonlyArray<Touched> } => {
  const { at, count } = node
  const base = node.base!
  const ledger = arena.ledgers[group]!
  const { blockSize } = arena.layout
  const to = at + count
  const touched: Array<Touched> = []
  const put = (from: Node, row: number, slot: number): void => {
    if (from.rows === undefined) return // a step's body writes its own
    const list = draft.writes.get(from.rows)
    if (list === undefined) draft.writes.set(from.rows, [row, slot])
    else list.push(row, slot)
  }
  let table = Table.take(seen, Math.ceil(base.length / blockSize))
  for (let index = Math.floor(at / blockSize); count > 0 && index * blockSize < to; index++) {
    const first = index * blockSize // the position of the block's slot 0
    const used = Math.max(0, Math.min(blockSize, base.length - first)) // slots of it the base sees
    const old = index < Table.length(table) ? Table.at(table, index) : undefined
    const mark = old && (draft.fill.get(old.id) ?? ledger.fill[old.id])
    let ref = old
    if (ref === undefined || mark !== used || at < base.length) {
      // Past the last free block the count goes on, so that the error can say how many are needed.
      const id = Ledger.peek(ledger, draft.fresh.length) ?? ledger.numBlocks
      draft.fresh.push(id)
      ref = { id, generation: ledger.generation[id] ?? 0 }
      table = Table.set(table, index, ref)
    }
    touched.push({ id: ref.id, from: used, index })
    draft.fill.set(ref.id, Math.max(used, Math.min(blockSize, to - first)))
    for (let p = first; p < Math.min(first + blockSize, Math.max(to, first + used)); p++) {
      const slot = ref.id * blockSize + (p - first)
      if (writes(node, p)) {
        put(node, rowAt(node, p - at), slot)
      } else if (ref !== old && p >= base.starts[group]!) { // what was dropped may be gone
        const from = source(base, group, p)
        if ("slot" in from) draft.copies.push(from.slot, slot)
        else put(from.node, from.row, slot)
      }
    }
  }
  return { table, touched }
}

/**
 * Plans the nodes in order, ancestors before descendants. Whoever comes first and sees a full mark continues
 * in place, the others copy. O(rows + blocks touched).
 */
export const plan = (
  arena: Arena,
  nodes: ReadonlyArray<Node>,
): Result.Result<Plan, OutOfBlocks> => {
  const places = new Map<Node, Place>()
  const drafts = arena.ledgers.map((): Draft => ({
    fresh: [],
    fill: new Map(),
    copies: [],
    writes: new Map(),
  }))
  for (const node of nodes) {
    const base = node.base!
    const seen = tablesOf(base.node) ?? places.get(base.node)!.tables
    const made = drafts.map((draft, group) => placeIn(arena, group, seen[group]!, node, draft))
    places.set(node, {
      base,
      node,
      tables: made.map(({ table }) => table),
      touched: made.map((m) => m.touched),
    })
  }
  for (const [group, { fresh }] of drafts.entries()) {
    const { numFree, numBlocks } = arena.ledgers[group]!
    if (fresh.length > numFree) {
      const needed = fresh.length
      return Result.fail(new OutOfBlocks({ group, needed, free: numFree, total: numBlocks }))
    }
  }
  return Result.succeed({
    places: [...places.values()],
    fresh: drafts.map(({ fresh }) => fresh),
    fill: drafts.map(({ fill }) => fill),
    work: drafts.map(({ copies, writes }) => ({ copies, writes })),
  })
}
