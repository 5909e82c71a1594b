/**
 * Which positions a query may see, from positions alone: the one function for every view of a cache.
 *
 * A query at `position` of a sequence of `contextLen` tokens sees one run of positions `[first, last]`, and of
 * that, where a window has sinks, its first ones besides. So kernels read two numbers a query, whatever the mask.
 *
 * @module
 */
import { Result } from "effect"
import { InvalidArgument } from "../errors.ts"
import * as Window from "./Window.ts"

/** What hides positions; all of it holds at once. */
export interface Mask {
  /** A query sees no later position than its own. Default true. */
  readonly causal?: boolean
  /** The last tokens, self included. Default: the window of the layer's group, else everything. */
  readonly window?: Window.Window
  /** A query sees positions of its own chunk of so many tokens, counted from `chunkOffset`. */
  readonly chunk?: number
  /** A position at which a chunk begins. Default 0. */
  readonly chunkOffset?: number
  /**
   * Packed sequences: for each row, an id for every position of its context. Equal ids see each other, −1 is
   * padding, which sees nothing and is not seen. Positions of one id lie together.
   */
  readonly segments?: ReadonlyArray<ArrayLike<number>>
  /** Left padding: for each row, its first position that is no padding. Default 0. */
  readonly starts?: ReadonlyArray<number>
  /**
   * For each row, the position of each of its queries, also past the context; −1 is padding, which sees nothing.
   * Default: the last query stands at the last position of the context, each before it one earlier.
   */
  readonly positions?: ReadonlyArray<ArrayLike<number>>
}

/** A row of queries: unless told, the last of them stands at the last position of the context. */
export interface Row {
  readonly contextLen: number
  readonly queryLen: number
}

/** Lowest and highest position; none where `first > last`. */
export interface Range {
  readonly first: number
  readonly last: number
}

/** Sees nothing. */
const nothing: Range = { first: 1, last: 0 }

const invalid = (name: string, value: number | string, need: string) =>
  new InvalidArgument({ name, value, need })

/** Kernels know a window from the last position a query sees: right where that is the query's own. */
const kernelsWindow = ({ causal = true, positions }: Mask): boolean =>
  causal && positions === undefined

const listError = (
  name: string,
  list: ReadonlyArray<unknown> | undefined,
  rows: ReadonlyArray<Row>,
): InvalidArgument | undefined =>
  list === undefined || list.length === rows.length
    ? undefined
    : invalid(`the number of ${name}`, list.length, `${rows.length}, one for each row`)

const segmentsError = (
  ids: ArrayLike<number>,
  row: number,
  contextLen: number,
): InvalidArgument | undefined => {
  const name = `segments[${row}]`
  if (ids.length !== contextLen) {
    return invalid(`the length of ${name}`, ids.length, `${contextLen}, the tokens of its context`)
  }
  const seen = new Set<number>()
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!
    if (!(Number.isSafeInteger(id) && id >= -1)) {
      return invalid(`${name}[${i}]`, id, "a whole number, at least −1 (padding)")
    }
    if (id === -1 || (i > 0 && ids[i - 1] === id)) continue
    if (seen.has(id)) return invalid(`${name}[${i}]`, id, "in one run with the others of this id")
    seen.add(id)
  }
}

const positionsError = (
  positions: ArrayLike<number>,
  row: number,
  { contextLen, queryLen }: Row,
  segments: boolean,
): InvalidArgument | undefined => {
  const name = `positions[${row}]`
  if (positions.length !== queryLen) {
    return invalid(`the length of ${name}`, positions.length, `${queryLen}, the queries of its row`)
  }
  const most = segments ? contextLen - 1 : Infinity
  for (let i = 0; i < queryLen; i++) {
    const position = positions[i]!
    if (Number.isSafeInteger(position) && position >= -1 && position <= most) continue
    const end = segments ? `to ${most} (the last with a segment)` : "on"
    return invalid(`${name}[${i}]`, position, `a whole position from 0 ${end}, or −1 (padding)`)
  }
}

/** What is wrong with the numbers of a window. */
export const windowError = ({ last, sinks }: Window.Window): InvalidArgument | undefined => {
  for (const [name, value, least] of [["last", last ?? 1, 1], ["sinks", sinks, 0]] as const) {
    if (Number.isSafeInteger(value) && value >= least) continue
    return invalid(`window.${name}`, value, `a whole number, at least ${least}`)
  }
}

const chunkError = ({ chunk, chunkOffset }: Mask): InvalidArgument | undefined => {
  if (chunk !== undefined && !(Number.isSafeInteger(chunk) && chunk >= 1)) {
    return invalid("chunk", chunk, "a whole number, at least 1")
  }
  if (chunkOffset === undefined) return undefined
  if (!(Number.isSafeInteger(chunkOffset) && chunkOffset >= 0)) {
    return invalid("chunkOffset", chunkOffset, "a whole number, at least 0")
  }
  return chunk === undefined
    ? invalid("chunkOffset", chunkOffset, "given together with chunk")
    : undefined
}

/** What is wrong with a mask for these rows. */
export const error = (mask: Mask, rows: ReadonlyArray<Row>): InvalidArgument | undefined => {
  const { causal = true, window, chunk, segments, starts, positions } = mask
  const wrong = (window === undefined ? undefined : windowError(window)) ?? chunkError(mask)
  if (wrong !== undefined) return wrong
  if (!kernelsWindow(mask) && window?.last !== undefined && window.sinks > 0) {
    const why = causal ? "positions are given" : "queries see later positions too"
    return invalid("window.sinks", window.sinks, `0 where ${why}`)
  }
  const bad = listError("segments", segments, rows) ?? listError("starts", starts, rows) ??
    listError("lists of positions", positions, rows)
  if (bad !== undefined) return bad
  for (const [i, row] of rows.entries()) {
    const { contextLen, queryLen } = row
    const misplaced = positions && positionsError(positions[i]!, i, row, segments !== undefined)
    if (misplaced !== undefined) return misplaced
    const placed = positions === undefined &&
      (causal || chunk !== undefined || segments !== undefined || window?.last !== undefined)
    if (placed && queryLen > contextLen) {
      return invalid(`queries of row ${i}`, queryLen, `at most ${contextLen}, its tokens`)
    }
    const start = starts?.[i] ?? 0
    if (!(Number.isSafeInteger(start) && start >= 0)) {
      return invalid(`starts[${i}]`, start, "a whole number, at least 0")
    }
    const apart = segments && segmentsError(segments[i]!, i, contextLen)
    if (apart !== undefined) return apart
  }
}

/** The run of equal ids around a position. */
const runOf = (ids: ArrayLike<number>, position: number): Range => {
  const id = ids[position]!
  if (id === -1) return nothing
  let [first, last] = [position, position]
  while (first > 0 && ids[first - 1] === id) first--
  while (last + 1 < ids.length && ids[last + 1] === id) last++
  return { first, last }
}

/**
 * What a query of row `row` at `position` sees, its window's sinks left out. The mask is one that `error` accepts.
 */
export const range = (mask: Mask, row: number, position: number, contextLen: number): Range => {
  const { causal = true, window = Window.all, chunk, chunkOffset = 0, segments, starts } = mask
  const ids = segments?.[row]
  const run = ids === undefined ? undefined : runOf(ids, position)
  // One chunk more keeps the remainder from being negative before the first offset.
  const chunkStart = chunk === undefined
    ? 0
    : position - (position - chunkOffset % chunk + chunk) % chunk
  const first = Math.max(
    run?.first ?? 0,
    chunkStart,
    starts?.[row] ?? 0,
    window.last === undefined ? 0 : position - window.last + 1,
  )
  const last = Math.min(
    run?.last ?? contextLen - 1,
    causal ? position : contextLen - 1,
    chunk === undefined ? contextLen - 1 : chunkStart + chunk - 1,
  )
  return first <= last ? { first, last } : nothing
}

/** A mask as kernels read it. */
export interface Visible {
  /** `[tokens, 3]`: row, first position, last position; first > last is none. */
  readonly words: Uint32Array
  /** What is left to the kernel: a causal window, whose sinks are a second run of positions. */
  readonly window: Window.Window
  /** For each row, the lowest position that any of its queries sees. */
  readonly needed: ReadonlyArray<number>
}

/** The words of all queries. O(tokens), and O(context) for each with segments. */
export const visible = (
  mask: Mask,
  rows: ReadonlyArray<Row>,
): Result.Result<Visible, InvalidArgument> => {
  const bad = error(mask, rows)
  if (bad !== undefined) return Result.fail(bad)
  const { window = Window.all, positions } = mask
  const own = kernelsWindow(mask) ? { ...mask, window: Window.all } : mask
  const words: Array<number> = []
  const needed = rows.map(({ contextLen, queryLen }, row) => {
    let lowest = contextLen
    for (let i = 0; i < queryLen; i++) {
      const said = positions?.[row]?.[i]
      const position = said ?? contextLen - queryLen + i
      const { first, last } = said === -1 ? nothing : range(own, row, position, contextLen)
      words.push(row, first, last)
      if (first <= last) lowest = Math.min(lowest, Math.max(first, Window.lowest(window, position)))
    }
    return lowest
  })
  const left = kernelsWindow(mask) ? window : Window.all
  return Result.succeed({ words: Uint32Array.from(words), window: left, needed })
}
