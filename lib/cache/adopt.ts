/**
 * Values over blocks that other values placed: how a sequence and its pages share memory.
 *
 * @module
 */
import { Result } from "effect"
import type { InvalidArgument } from "../errors.ts"
import { type Flight, takePlan } from "./Flight.ts"
import { tablesOf } from "./Plan.ts"
import * as Table from "./Table.ts"
import { empty, type KvCache, nodeOf, view } from "./value.ts"

/**
 * A cache of the first `length` slots of these blocks, by layer group. They belong to values that the flight pins
 * and its lease will hold, so the new value is held as they are. It claims no block and no mark: it is a claim all
 * the same, so that a transaction that does not land takes the value with it.
 */
const adopt = (
  flight: Flight,
  doing: string,
  tables: ReadonlyArray<Table.Table>,
  length: number,
): Result.Result<KvCache, InvalidArgument> => {
  const { arena } = flight.lease
  const base = empty(arena)
  if (length === 0) return Result.succeed(base)
  const node = nodeOf(base, 0, length, undefined)
  const plan = {
    places: [{ base, node, tables, touched: tables.map(() => []) }],
    fresh: tables.map(() => []),
    fill: tables.map(() => new Map<number, number>()),
    work: [],
  }
  const outcome = () => ({ kept: new Map<typeof node, number>(), values: [] })
  return Result.map(
    takePlan(flight, doing, plan, outcome),
    () => view(arena, node, length, base.starts),
  )
}

/** One cache of these, of a block each, one after another; all but the last are full. They are placed. */
export const joined = (
  flight: Flight,
  doing: string,
  pages: ReadonlyArray<readonly [KvCache, number]>,
): Result.Result<KvCache, InvalidArgument> => {
  const length = pages.reduce((sum, [, used]) => sum + used, 0)
  const tables = flight.lease.arena.ledgers.map((_, group) =>
    Table.of(pages.map(([{ node }]) => Table.at(tablesOf(node)![group]!, 0)!))
  )
  return adopt(flight, doing, tables, length)
}

/** Each block of a cache as a cache of its own. It is placed, and sees all of its positions. */
export const divided = (
  flight: Flight,
  doing: string,
  { arena, node, length }: KvCache,
): Result.Result<ReadonlyArray<KvCache>, InvalidArgument> => {
  const { blockSize } = arena.layout
  const blocks = Array.from({ length: Math.ceil(length / blockSize) }, (_, i) => i)
  return Result.all(blocks.map((i) => {
    const tables = tablesOf(node)!.map((table) => Table.of([Table.at(table, i)!]))
    return adopt(flight, doing, tables, Math.min(blockSize, length - i * blockSize))
  }))
}
