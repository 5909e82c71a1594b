/**
 * Chosen sequences as the flat arrays kernels read. Pure.
 *
 * ```text
 *        ├──── cachedLen ────┤─ queryLen ─┤      cachedLen: tokens before this step
 * row    0 … start … … … … … │ new tokens │      contextLen = cachedLen + queryLen
 * ```
 *
 * @module
 */
import { largest } from "../tensor/numbers.ts"
import type { Arena } from "./Arena.ts"
import * as Table from "./Table.ts"

/** One row of a batch: where it lies, what it may see, and how many new tokens it brings. */
export interface Row {
  readonly tables: ReadonlyArray<Table.Table>
  readonly starts: ReadonlyArray<number>
  readonly cachedLen: number
  readonly queryLen: number
}

/** What one layer group's kernels read. */
export interface GroupArrays {
  /** (row of the step's keys or values, slot), flat `[tokens, 2]`: where each new token is written. */
  readonly slotMapping: Uint32Array
  /** `[batch, maxBlocks]`, padded with the dummy block. */
  readonly blockTables: Uint32Array
  readonly maxBlocks: number
  /** `[tokens, 3]`: row, first visible position, own position. */
  readonly visible: Uint32Array
}

/** Host arrays of one step. */
export interface Batch {
  readonly tokens: number
  /** `[tokens]`, position of each new token in its sequence. */
  readonly positions: Uint32Array
  /** `[batch + 1]`, prefix sum of queryLen. */
  readonly queryStarts: Uint32Array
  readonly groups: ReadonlyArray<GroupArrays>
}

/** The block tables of a group: `[batch, maxBlocks]`, padded with the dummy block. O(blocks of the rows). */
export const blockTables = (
  arena: Arena,
  group: number,
  rows: ReadonlyArray<Pick<Row, "tables" | "starts">>,
): Pick<GroupArrays, "blockTables" | "maxBlocks"> => {
  const { blockSize } = arena.layout
  const dummy = arena.ledgers[group]!.numBlocks
  const maxBlocks = largest(rows.map((row) => Table.length(row.tables[group]!)), 1)
  const words = new Uint32Array(rows.length * maxBlocks).fill(dummy)
  for (const [r, { tables, starts }] of rows.entries()) {
    Table.copyIds(tables[group]!, words, r * maxBlocks)
    // Blocks before the first visible one may belong to others by now.
    const gone = Math.floor(starts[group]! / blockSize)
    words.fill(dummy, r * maxBlocks, r * maxBlocks + Math.min(gone, maxBlocks))
  }
  return { blockTables: words, maxBlocks }
}

const groupArrays = (
  arena: Arena,
  group: number,
  rows: ReadonlyArray<Row>,
  tokens: number,
): GroupArrays => {
  const { blockSize } = arena.layout
  const slotMapping = new Uint32Array(2 * tokens)
  const visible = new Uint32Array(3 * tokens)
  let t = 0
  for (const [r, { tables, starts, cachedLen, queryLen }] of rows.entries()) {
    const table = tables[group]!
    const start = starts[group]!
    for (let i = 0; i < queryLen; i++, t++) {
      const position = cachedLen + i
      const { id } = Table.at(table, Math.floor(position / blockSize))!
      slotMapping.set([t, id * blockSize + position % blockSize], 2 * t)
      visible.set([r, start, position], 3 * t)
    }
  }
  return { slotMapping, visible, ...blockTables(arena, group, rows) }
}

/** The arrays of a step over these rows. O(tokens + blocks of the rows). */
export const of = (arena: Arena, rows: ReadonlyArray<Row>): Batch => {
  const queryStarts = new Uint32Array(rows.length + 1)
  for (const [i, { queryLen }] of rows.entries()) queryStarts[i + 1] = queryStarts[i]! + queryLen
  const tokens = queryStarts[rows.length]!
  const positions = Uint32Array.from(
    rows.flatMap(({ cachedLen, queryLen }) =>
      Array.from({ length: queryLen }, (_, i) => cachedLen + i)
    ),
  )
  return {
    tokens,
    positions,
    queryStarts,
    groups: arena.ledgers.map((_, group) => groupArrays(arena, group, rows, tokens)),
  }
}
