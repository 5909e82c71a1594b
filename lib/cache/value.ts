/**
 * What a cache value is: a view (`length`, `starts`) of a node, and a node is one write of some rows over a
 * base cache. Where a node lies is decided once, by the effect that realises it; until then it owes its rows.
 *
 * @module
 */
import { Keep, type Keeper } from "../tensor/Recording.ts"
import type { Tensor } from "../tensor/value.ts"
import type { Arena } from "./Arena.ts"
import type { Claim } from "./Claim.ts"
import type { Given } from "./Layout.ts"
import type { Owner } from "./Owner.ts"
import * as Table from "./Table.ts"

/** Keys and values of new tokens, in all layers, stored as the arena stores them; f32 where it stores int8. */
export interface Rows {
  readonly keys: Tensor<Given, "layers tokens keyHeads keyDim">
  readonly values: Tensor<Given, "layers tokens valueHeads valueDim">
}

/** The same in one tensor, key head h at 2h and value head h at 2h + 1, for arenas placed `interleaved`. */
export interface Combined {
  readonly combined: Tensor<Given, "layers tokens combinedHeads dim">
}

/** Keys alone, for arenas placed `latent`: their values are part of them. */
export interface Latent {
  readonly latent: Tensor<Given, "layers tokens keyHeads keyDim">
}

/** Rows in the form that their arena stores. */
export type AnyRows = Rows | Combined | Latent

/** One write of `count` rows at position `at` over `base`. Internal. */
export interface Node {
  /** What was written over; let go once placed. */
  base: KvCache | undefined
  /** The rows still owed; a step writes its own and owes none. */
  rows: AnyRows | undefined
  /** Row of the first position, or the row of each; −1 is one that stays as the base has it. */
  readonly from: number | ReadonlyArray<number>
  readonly at: number
  readonly count: number
  /** Where it lies, by layer group; set once, when the claim that placed it lands. */
  tables: ReadonlyArray<Table.Table> | undefined
  /** The claim that is placing it now. */
  pending: Claim | undefined
  /** A step that did not land: its rows exist nowhere. */
  lost: boolean
}

/** A sequence of tokens' keys and values. Every older value stays readable as long as a lease holds it. */
export interface KvCache extends Keeper {
  readonly arena: Arena
  /** Tokens it holds. */
  readonly length: number
  /** First position still visible, by layer group. */
  readonly starts: ReadonlyArray<number>
  /** Internal. */
  readonly node: Node
  /** Internal memo: this owner holds all it reaches, if the epoch is still the owner's. */
  held: { readonly owner: Owner; readonly epoch: number } | undefined
}

/** Row of the node's i-th position, −1 where the base's stays. Internal. */
export const rowAt = ({ from }: Pick<Node, "from">, i: number): number =>
  typeof from === "number" ? from + i : from[i]!

/** Position just after the node's last row, when `kept` of its rows are. Internal. */
export const endOf = (node: Node, kept: number = node.count): number =>
  Math.max(node.base!.length, node.at + kept)

function* owedRows(this: KvCache): Iterable<Tensor<Given, string>> {
  for (let { node } = this; node.tables === undefined; node = node.base!.node) {
    if (node.rows !== undefined) yield* Object.values(node.rows)
  }
}

/** A view of a node. Internal. */
export const view = (
  arena: Arena,
  node: Node,
  length: number,
  starts: ReadonlyArray<number>,
  held?: KvCache["held"],
): KvCache => ({ arena, node, length, starts, held, [Keep]: owedRows })

/** A node that owes `count` of these rows. Internal. */
export const nodeOf = (
  base: KvCache,
  at: number,
  count: number,
  rows: AnyRows | undefined,
  from: Node["from"] = 0,
): Node => ({ base, rows, from, at, count, tables: undefined, pending: undefined, lost: false })

/** No tokens. */
export const empty = (arena: Arena): KvCache => {
  const tables = arena.layout.groups.map(() => Table.empty)
  const node = { base: undefined, rows: undefined, from: 0, at: 0, count: 0 }
  const starts = arena.layout.groups.map(() => 0)
  return view(arena, { ...node, tables, pending: undefined, lost: false }, 0, starts)
}

/** The nearest placed view at or below a value; itself if placed. Internal. */
export const placed = (self: KvCache): KvCache => {
  let value = self
  while (value.node.tables === undefined) value = value.node.base!
  return value
}

/** Every block the nearest placed value sees, with its group. O(blocks). Internal. */
export function* reach(self: KvCache): Generator<readonly [group: number, ref: Table.Ref]> {
  const { blockSize } = self.arena.layout
  const { node, length, starts } = placed(self)
  for (const [group, table] of node.tables!.entries()) {
    for (let i = Math.floor(starts[group]! / blockSize); i < Math.ceil(length / blockSize); i++) {
      yield [group, Table.at(table, i)!]
    }
  }
}
