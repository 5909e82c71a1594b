/** Attention over pages that a caller numbers. @module */
import { Effect, Result } from "effect"
import type { Needs } from "../cache/Flight.ts"
import * as Pages from "../cache/Pages.ts"
import { tablesOf } from "../cache/Plan.ts"
import type { RealizeError } from "../cache/Realize.ts"
import * as Table from "../cache/Table.ts"
import { InvalidArgument } from "../errors.ts"
import type { Tensor } from "../tensor/value.ts"
import type { States } from "./AttentionState.ts"
import type { AttendError, ReadOptions } from "./options.ts"
import { overTo, type Placed } from "./over.ts"

/** Some queries of one sequence: their context lies in these pages, in order. */
export interface PagedRow {
  /** Numbers of pages; those past the context are not looked at. */
  readonly blocks: ReadonlyArray<number>
  readonly contextLen: number
  readonly queryLen: number
}

/** What is wrong with the counts of rows. */
export const countError = (rows: ReadonlyArray<PagedRow>): InvalidArgument | undefined => {
  for (const [i, { contextLen, queryLen }] of rows.entries()) {
    for (const [name, value] of Object.entries({ contextLen, queryLen })) {
      if (Number.isSafeInteger(value) && value >= 0) continue
      const need = "a whole number, at least 0"
      return new InvalidArgument({ name: `${name} of row ${i}`, value, need })
    }
  }
}

/**
 * Attention of `q` `[tokens, numQHeads, headDim]`, the queries of all rows one after another, over pages: the last
 * query of a row stands at the last position of its context. Realises the pages first.
 */
export const attendPages = (
  q: Tensor<"f32", "tokens numQHeads headDim">,
  pages: Pages.Pages,
  rows: ReadonlyArray<PagedRow>,
  options: ReadOptions = {},
): Effect.Effect<States, AttendError | RealizeError, Needs> => {
  const bad = countError(rows)
  if (bad !== undefined) return Effect.fail(bad)
  const found = Result.all(
    rows.map(({ blocks, contextLen }) => Pages.pagesOf(pages, blocks, contextLen)),
  )
  return Effect.flatMap(Effect.fromResult(found), (used) => {
    const caches = [...new Set(used.flatMap((row) => row.map(([cache]) => cache)))]
    return Pages.reading("attend to pages", caches, ({ transaction }) => {
      const { ledgers } = pages.arena
      const placed = rows.map(({ contextLen, queryLen }, i): Placed => ({
        contextLen,
        queryLen,
        starts: ledgers.map(() => 0),
        tables: ledgers.map((_, group) =>
          Table.of(used[i]!.map(([{ node }]) => Table.at(tablesOf(node)![group]!, 0)!))
        ),
      }))
      return Effect.fromResult(overTo(transaction, pages.arena, placed, q, options))
    })
  })
}
