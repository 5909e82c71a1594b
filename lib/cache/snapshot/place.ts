/** Rows of a snapshot into an arena: what a layer group no longer sees takes no block. @module */
import { Effect, Result } from "effect"
import { OutOfBlocks, type ShapeMismatch } from "../../errors.ts"
import * as Recording from "../../tensor/Recording.ts"
import { during, type Flight, type Needs, takePlan } from "../Flight.ts"
import { gatherGroupTo, type GroupRows } from "../gather.ts"
import * as Layout from "../Layout.ts"
import * as Ledger from "../Ledger.ts"
import { type Place, tablesOf, type Touched } from "../Plan.ts"
import { none, type RealizeError, realizeIn, writeTo } from "../Realize.ts"
import * as Table from "../Table.ts"
import { type KvCache, nodeOf, view } from "../value.ts"
import type { Block } from "./header.ts"
import type { Dense } from "./rows.ts"

/** Records the reading of one block. */
export const gather = (
  cache: KvCache,
  { group, from, to }: Pick<Block, "group" | "from" | "to">,
): Effect.Effect<GroupRows, RealizeError, Needs> =>
  during("take a snapshot", [cache], (flight) =>
    Effect.andThen(
      realizeIn(flight, "take a snapshot"),
      Effect.suspend(() =>
        Effect.fromResult(gatherGroupTo(flight.transaction, group, { cache, from, to, row: 0 }))
      ),
    ))

/** Rows of one block, to be placed. */
export interface Placing extends Block {
  readonly dense: Dense
}

/** Where one group's rows will lie. */
interface Draft {
  readonly table: Table.Table
  readonly touched: ReadonlyArray<Touched>
  readonly fresh: ReadonlyArray<number>
  readonly fill: ReadonlyMap<number, number>
}

/**
 * Blocks of positions up to `to` in one group. Those before `start` are the dummy's: nothing reads them, as after
 * a window let them go. A block that is begun belongs to nobody but this restoring, so it is continued.
 */
const draftOf = (base: KvCache, group: number, to: number, start: number): Draft => {
  const { arena: { layout: { blockSize }, ledgers }, length } = base
  const ledger = ledgers[group]!
  let table = tablesOf(base.node)![group]!
  const touched: Array<Touched> = []
  const fresh: Array<number> = []
  const fill = new Map<number, number>()
  for (let index = Math.floor(length / blockSize); index * blockSize < to; index++) {
    const from = Math.max(0, Math.min(blockSize, length - index * blockSize))
    let ref = Table.at(table, index)
    if (index < Math.floor(start / blockSize)) {
      if (ref === undefined) {
        table = Table.set(table, index, { id: ledger.numBlocks, generation: 0 })
      }
      continue
    }
    if (ref === undefined) {
      const id = Ledger.peek(ledger, fresh.length) ?? ledger.numBlocks
      fresh.push(id)
      ref = { id, generation: ledger.generation[id] ?? 0 }
      table = Table.set(table, index, ref)
    } else if (ledger.fill[ref.id] !== from) {
      throw new Error("law 2: a block that is being restored was written by somebody else")
    }
    touched.push({ id: ref.id, from, index })
    fill.set(ref.id, Math.max(from, Math.min(blockSize, to - index * blockSize)))
  }
  return { table, touched, fresh, fill }
}

/** Records the writing of a block into the tables that were drafted. */
const writeBlock = (
  flight: Flight,
  table: Table.Table,
  { group, from, to, dense }: Placing,
): Result.Result<void, ShapeMismatch> =>
  Result.gen(function* () {
    const { transaction, lease: { arena, arena: { layout } } } = flight
    const { layers } = layout.groups[group]!
    const tokens = to - from
    const pairs = new Uint32Array(2 * tokens)
    for (let i = 0; i < tokens; i++) {
      const { id } = Table.at(table, Math.floor((from + i) / layout.blockSize))!
      pairs.set([i, id * layout.blockSize + (from + i) % layout.blockSize], 2 * i)
    }
    const entries = Recording.fresh("u32", "entries pair", [tokens, 2], pairs)
    for (const kind of ["keys", "values"] as const) {
      const rows = dense[kind]
      if (rows === undefined) continue
      const { heads, dim } = Layout.half(layout, kind)
      const axes = "layers tokens heads dim"
      const shape = [layers.length, tokens, heads, dim]
      const given = Recording.fresh("f32", axes, shape, rows as Float32Array<ArrayBuffer>)
      for (const [i, layer] of layers.entries()) {
        yield* writeTo(transaction, arena, layer, [kind], given, i * tokens, entries, none())
      }
    }
  })

/**
 * Records that `base` goes on up to position `to` with the rows of these blocks. `starts` are those of the whole
 * snapshot: rows from there on are all given. One claim, all or nothing.
 */
export const place = (
  base: KvCache,
  to: number,
  starts: ReadonlyArray<number>,
  blocks: ReadonlyArray<Placing>,
): Effect.Effect<KvCache, RealizeError, Needs> =>
  during("restore a snapshot", [base], (flight) =>
    Effect.suspend(() =>
      Effect.fromResult(
        Result.gen(function* () {
          const { arena, length } = base
          const drafts = arena.ledgers.map((_, group) => draftOf(base, group, to, starts[group]!))
          for (const [group, { fresh }] of drafts.entries()) {
            const { numFree: free, numBlocks: total } = arena.ledgers[group]!
            if (fresh.length <= free) continue
            const needed = fresh.length
            return yield* Result.fail(new OutOfBlocks({ group, needed, free, total }))
          }
          const node = nodeOf(base, length, to - length, undefined)
          const tables = drafts.map(({ table }) => table)
          const next = view(arena, node, to, starts.map((start) => Math.min(start, to)))
          const touched = drafts.map((draft) => draft.touched)
          const placed: Place = { base, node, tables, touched }
          const plan = {
            places: [placed],
            fresh: drafts.map(({ fresh }) => fresh),
            fill: drafts.map(({ fill }) => fill),
            work: [],
          }
          const outcome = () => ({ kept: new Map<typeof node, number>(), values: [next] })
          yield* takePlan(flight, "restore a snapshot", plan, outcome)
          for (const block of blocks) yield* writeBlock(flight, tables[block.group]!, block)
          return next
        }),
      )
    ))
