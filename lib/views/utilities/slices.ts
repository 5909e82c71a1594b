/** Slices of new tokens: which rows go to which positions of a paged cache. Pure, on the host. @module */
import { Result } from "effect"
import type { Run } from "../../cache/Pages.ts"
import { BlockTableFull, InvalidArgument } from "../../errors.ts"
import { isWhole, wholeError } from "../whole.ts"

/**
 * `[3, N]`, a column a slice: its first position in the cache (`page · pageSize + offset`), its first row of the new
 * tokens, and its length. A slice lies in one page.
 */
export type SliceIndices = readonly [
  cacheStarts: ArrayLike<number>,
  newKvStarts: ArrayLike<number>,
  lengths: ArrayLike<number>,
]

const invalid = (name: string, value: number, need: string) =>
  Result.fail(new InvalidArgument({ name, value, need }))

/** ⌈a / v⌉ of whole numbers, exact for all of them. Fails unless `a` is at least 0 and `v` at least 1. */
export const cdiv = (a: number, v: number): Result.Result<number, InvalidArgument> => {
  const bad = wholeError({ a }, 0) ?? wholeError({ v }, 1)
  return bad === undefined
    ? Result.succeed((a - a % v) / v + (a % v === 0 ? 0 : 1))
    : Result.fail(bad)
}

/** Rows of a batch, and the pages they lie in. */
export interface SlotMapping {
  /** `[rows, maxPages]`: page of a row's tokens from `i · pageSize` on; −1 is none. Rows may differ in width. */
  readonly blockTables: ReadonlyArray<ArrayLike<number>>
  /** `[rows]`: tokens before this step. */
  readonly cachedLengths: ArrayLike<number>
  /** `[rows]`: new tokens, which lie one row after another. */
  readonly queryLengths: ArrayLike<number>
  /** Pages of the cache. */
  readonly numPages: number
  /** Tokens of a page. Default 32. */
  readonly pageSize?: number
  /** Columns are padded to a multiple of it. Default 8. */
  readonly slicesPerProcessingPage?: number
}

/** Slices, and how many columns are real; the others have length 0. */
export interface Slices {
  readonly sliceIndices: SliceIndices
  readonly totalUpdateSlices: number
}

const lengthsError = (
  { blockTables, cachedLengths, queryLengths }: SlotMapping,
): InvalidArgument | undefined => {
  for (const [name, list] of Object.entries({ cachedLengths, queryLengths })) {
    if (list.length !== blockTables.length) {
      const need = `${blockTables.length}, one for each row of the block tables`
      return new InvalidArgument({ name: `the number of ${name}`, value: list.length, need })
    }
    const named = Array.from(list, (value, i) => [`${name}[${i}]`, value] as const)
    const bad = wholeError(Object.fromEntries(named), 0)
    if (bad !== undefined) return bad
  }
}

/** Positions that slices can name. */
const mostPositions = 2 ** 31

/** Most columns of one group. */
const mostPadding = 2 ** 20

/**
 * Slices for the new tokens of a batch: one column for each row and page, in the order of rows.
 *
 * - fails with `BlockTableFull` (a row of the tables is too narrow) or `InvalidArgument` (a page that is −1 or outside
 *   the pool, counts)
 * - O(rows + pages written)
 */
export const slotMappingToSlices = (
  mapping: SlotMapping,
): Result.Result<Slices, InvalidArgument | BlockTableFull> =>
  Result.gen(function* () {
    const { blockTables, cachedLengths, queryLengths, numPages } = mapping
    const { pageSize = 32, slicesPerProcessingPage = 8 } = mapping
    const bad = wholeError({ numPages, pageSize, slicesPerProcessingPage }, 1) ??
      lengthsError(mapping)
    if (bad !== undefined) return yield* Result.fail(bad)
    if (slicesPerProcessingPage > mostPadding) {
      const need = `at most ${mostPadding}: so many columns are made at least`
      return yield* invalid("slicesPerProcessingPage", slicesPerProcessingPage, need)
    }
    if (numPages * pageSize > mostPositions) {
      const need = `at most ${
        Math.floor(mostPositions / pageSize)
      }: slices count positions in 32 bits`
      return yield* invalid("numPages", numPages, need)
    }
    const columns: readonly [Array<number>, Array<number>, Array<number>] = [[], [], []]
    let source = 0
    for (const [row, table] of blockTables.entries()) {
      const end = cachedLengths[row]! + queryLengths[row]!
      const needed = Math.ceil(end / pageSize)
      if (queryLengths[row]! > 0 && needed > table.length) {
        return yield* Result.fail(
          new BlockTableFull({ sequence: row, needed, maxBlocks: table.length }),
        )
      }
      for (let at = cachedLengths[row]!; at < end;) {
        const logical = Math.floor(at / pageSize)
        const page = table[logical]!
        if (!isWhole(page, 0) || page >= numPages) {
          const need = `a page from 0 to ${
            numPages - 1
          }, as position ${at} of row ${row} is written`
          return yield* invalid(`blockTables[${row}][${logical}]`, page, need)
        }
        const count = Math.min(end, (logical + 1) * pageSize) - at
        columns[0].push(page * pageSize + at % pageSize)
        columns[1].push(source)
        columns[2].push(count)
        source += count
        at += count
      }
    }
    const totalUpdateSlices = columns[0].length
    const padded = yield* cdiv(totalUpdateSlices, slicesPerProcessingPage)
    const pad = (list: ReadonlyArray<number>) =>
      Int32Array.from({ length: padded * slicesPerProcessingPage }, (_, i) => list[i] ?? 0)
    const [cacheStarts, newKvStarts, lengths] = columns
    return {
      sliceIndices: [pad(cacheStarts), pad(newKvStarts), pad(lengths)],
      totalUpdateSlices,
    }
  })

/** What slices lie in. */
export interface Bounds {
  /** Rows of the new tokens. */
  readonly tokens: number
  readonly pageSize: number
  readonly numPages: number
}

const columnError = (
  slices: SliceIndices,
  i: number,
  { tokens, pageSize, numPages }: Bounds,
): InvalidArgument | undefined => {
  const name = (row: number): string => `sliceIndices[${row}][${i}]`
  const [to, from, count] = slices.map((row) => row[i]!) as [number, number, number]
  const bad = wholeError({ [name(0)]: to, [name(1)]: from, [name(2)]: count }, 0)
  if (bad !== undefined) return bad
  const positions = numPages * pageSize
  const left = pageSize - to % pageSize
  const limits = [
    [2, count, pageSize, "the tokens of a page"],
    [0, to, positions - count, `the pool has ${positions} positions`],
    [2, count, left, `what is left of the page of position ${to}`],
    [1, from, tokens - count, `${tokens} tokens are given`],
  ] as const
  for (const [row, value, most, why] of limits) {
    if (value > most) {
      return new InvalidArgument({ name: name(row), value, need: `at most ${most}: ${why}` })
    }
  }
}

/** Slices by position, of which two write the same one. */
const overlapError = (
  { 0: starts, 2: lengths }: SliceIndices,
  active: ReadonlyArray<number>,
): InvalidArgument | undefined => {
  const sorted = active.toSorted((a, b) => starts[a]! - starts[b]!)
  for (const [k, i] of sorted.entries()) {
    const next = sorted[k + 1]
    if (next === undefined || starts[next]! >= starts[i]! + lengths[i]!) continue
    const need = `${starts[i]! + lengths[i]!} or more: slice ${i} writes the positions before`
    return new InvalidArgument({ name: `sliceIndices[0][${next}]`, value: starts[next]!, need })
  }
}

/**
 * The first `totalUpdateSlices` columns as runs of rows, checked: what the others hold is not looked at. Internal:
 * the one reading of slices, for the update and its twin.
 */
export const runsOf = (
  slices: SliceIndices,
  totalUpdateSlices: number,
  bounds: Bounds,
): Result.Result<ReadonlyArray<Run>, InvalidArgument> => {
  const { length: given } = slices as ReadonlyArray<unknown>
  if (given !== 3) return invalid("rows of sliceIndices", given, "3: starts, sources and lengths")
  const columns = slices[0].length
  for (const [row, { length }] of slices.entries()) {
    if (length === columns) continue
    return invalid(
      `columns of sliceIndices[${row}]`,
      length,
      `${columns}, as many as row 0 has`,
    )
  }
  if (!isWhole(totalUpdateSlices, 0) || totalUpdateSlices > columns) {
    const need = `a whole number from 0 to ${columns}, the slices given`
    return invalid("totalUpdateSlices", totalUpdateSlices, need)
  }
  const all = Array.from({ length: totalUpdateSlices }, (_, i) => i)
  for (const i of all) {
    const bad = columnError(slices, i, bounds)
    if (bad !== undefined) return Result.fail(bad)
  }
  const active = all.filter((i) => slices[2][i]! > 0)
  const bad = overlapError(slices, active)
  if (bad !== undefined) return Result.fail(bad)
  const { pageSize } = bounds
  return Result.succeed(active.map((i) => ({
    page: Math.floor(slices[0][i]! / pageSize),
    offset: slices[0][i]! % pageSize,
    from: slices[1][i]!,
    count: slices[2][i]!,
  })))
}
