/**
 * Block tables, slot mappings and lookup tables with cells that are none: what is asked for is there, and comes, or
 * it is refused. A naive pool says which.
 *
 * @module
 */
import fc from "fast-check"
import type { Pages } from "../../mod.ts"
import * as Pool from "./pool.ts"

/** Pages of the pool. */
export const pages: number = Pool.written.length

/** A number that works most of the time, so that what is wrong is wrong by itself. */
const mostly = (least: number, most: number, ...bad: ReadonlyArray<number>): fc.Arbitrary<number> =>
  fc.oneof(
    { weight: 12, arbitrary: fc.integer({ min: least, max: most }) },
    { weight: 1, arbitrary: fc.constantFrom(...bad) },
  )

const cell = mostly(0, pages - 1, -1, pages, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 0.5, NaN, -0)
const upTo = (most: number) =>
  mostly(0, most, -1, 0.5, NaN, Infinity, 2 ** 31, 2 ** 32, 2 ** 53, -0, most + 1)
const count = upTo(7)
/** Runs that begin where a page ends, or before. */
const run: fc.Arbitrary<Pages.Run> = fc.record({
  page: cell,
  offset: upTo(1),
  from: upTo(4),
  count: upTo(2),
})
/** Of the pages that belong to no sequence, mostly. */
const free = fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 2, max: pages - 1 }) }, cell)
const cells = fc.array(cell, { maxLength: 4 })

/** One hostile reading, or one hostile writing. */
export type Case =
  | {
    readonly door: typeof readers[number]
    readonly blocks: ReadonlyArray<number>
    readonly length: number
  }
  | { readonly door: "Pages.write"; readonly runs: ReadonlyArray<Pages.Run> }
  | {
    readonly door: "kvCacheUpdate"
    readonly tables: ReadonlyArray<ReadonlyArray<number>>
    readonly cached: ReadonlyArray<number>
    readonly queries: ReadonlyArray<number>
  }
  | {
    readonly door: "allocateBlocks"
    readonly blocks: ReadonlyArray<number>
    readonly tokens: number
  }

/** Readers of tables. */
export const readers = [
  "gather",
  "toCache",
  "attendPages",
  "pageAttention",
  "fromPages",
  "collection",
] as const

/** Cases of every kind. */
export const tables: fc.Arbitrary<Case> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ door: fc.constantFrom(...readers), blocks: cells, length: count }),
  },
  fc.record({
    door: fc.constant("Pages.write" as const),
    runs: fc.array(run, { maxLength: 3 }),
  }),
  fc.record({
    door: fc.constant("kvCacheUpdate" as const),
    tables: fc.array(cells, { minLength: 1, maxLength: 2 }),
    cached: fc.array(upTo(3), { minLength: 1, maxLength: 2 }),
    queries: fc.array(upTo(3), { minLength: 1, maxLength: 2 }),
  }),
  fc.record({
    door: fc.constant("allocateBlocks" as const),
    blocks: fc.array(free, { maxLength: 4 }),
    tokens: count,
  }),
)

/** A count. */
export const whole = (n: number): boolean => Number.isSafeInteger(n) && n >= 0
/** A page that is there. */
export const page = (n: number): boolean => whole(n) && n < pages

/** The rows that a table promises, or undefined where they are not all there. */
export const promised = (
  blocks: ReadonlyArray<number>,
  length: number,
  pool: Pool.Naive,
): ReadonlyArray<number> | undefined => {
  if (!whole(length) || length > blocks.length * Pool.slots) return undefined
  const used = blocks.slice(0, Math.ceil(length / Pool.slots))
  if (!used.every(page)) return undefined
  const rows = used.flatMap((block, i) => pool[block]!.slice(0, length - i * Pool.slots))
  return rows.length === length ? rows : undefined
}

/** What a naive pool is after some runs, or undefined where they cannot be written. */
export const after = (runs: ReadonlyArray<Pages.Run>): Pool.Naive | undefined => {
  const next = Pool.written.map((rows) => [...rows])
  const taken = new Set<string>()
  const sorted = [...runs].sort((a, b) => a.offset - b.offset)
  for (const run of sorted) {
    if (!page(run.page) || ![run.offset, run.from, run.count].every(whole)) return undefined
    if (run.offset + run.count > Pool.slots || run.from + run.count > Pool.fresh.length) {
      return undefined
    }
    if (run.count > 0 && run.offset > next[run.page]!.length) return undefined // what nobody wrote would be read
    for (let i = 0; i < run.count; i++) {
      const slot = `${run.page} ${run.offset + i}`
      if (taken.has(slot)) return undefined
      taken.add(slot)
      next[run.page]![run.offset + i] = Pool.fresh[run.from + i]!
    }
  }
  return next
}
