/**
 * A pool of pages that its caller numbers, as a value: page i is a cache of at most one block.
 *
 * The numbers are names. Where a page lies is the ledger's decision, as for every cache: so a pool may be forked,
 * a page is written in place only at or above its fill mark, and an older pool never changes. Views whose callers
 * choose blocks (block tables, slot mappings, a block for each sequence) all stand on this.
 *
 * @module
 */
import { Effect, HashMap, Option, Result } from "effect"
import { InvalidArgument } from "../errors.ts"
import { Keep, type Keeper } from "../tensor/Recording.ts"
import type { DType } from "../tensor/DType.ts"
import type { Tensor } from "../tensor/value.ts"
import type { Arena } from "./Arena.ts"
import { during, type Flight, type Needs } from "./Flight.ts"
import { type Gathered, gatherTo, type Piece } from "./gather.ts"
import { grouped } from "./grouped.ts"
import { type RealizeError, realizeIn } from "./Realize.ts"
import { type AnyRows, empty, type KvCache } from "./value.ts"
import { tokensOf, type WriteError, writeRuns } from "./write.ts"

/** Bytes of the largest tensor that a pool is gathered into: what WebGPU devices commonly bind. */
const mostDense = 2 ** 32

/** Pages by number; their size is the arena's `blockSize`. */
export interface Pages extends Keeper {
  readonly arena: Arena
  readonly numPages: number
  /** Those that hold rows. Internal. */
  readonly written: HashMap.HashMap<number, KvCache>
}

/** Rows `[from, from + count)` of a tensor, to go to a page from slot `offset` on. */
export interface Run {
  readonly page: number
  readonly offset: number
  readonly from: number
  readonly count: number
}

function* owedRows(this: Pages): Iterable<Tensor<DType, string>> {
  for (const cache of HashMap.values(this.written)) yield* cache[Keep]()
}

const of = (arena: Arena, numPages: number, written: Pages["written"]): Pages => ({
  arena,
  numPages,
  written,
  [Keep]: owedRows,
})

/** `numPages` pages that hold nothing. Takes no memory: a page has some from its first row on. */
export const make = (arena: Arena, numPages: number): Result.Result<Pages, InvalidArgument> =>
  Number.isSafeInteger(numPages) && numPages >= 1
    ? Result.succeed(of(arena, numPages, HashMap.empty()))
    : Result.fail(
      new InvalidArgument({
        name: "numPages",
        value: numPages,
        need: "a whole number, at least 1",
      }),
    )

/** One page: a cache of its first rows. */
export const at = ({ arena, written }: Pages, page: number): KvCache =>
  Option.getOrElse(HashMap.get(written, page), () => empty(arena))

/** The caches of the pages that hold rows, as `Lease.keep` takes them. O(pages written). */
export const caches = ({ written }: Pages): ReadonlyArray<KvCache> => [...HashMap.values(written)]

/** What is wrong with a page's number. */
export const pageError = (
  { numPages }: Pages,
  name: string,
  value: number,
): InvalidArgument | undefined =>
  Number.isSafeInteger(value) && value >= 0 && value < numPages
    ? undefined
    : new InvalidArgument({ name, value, need: `a page from 0 to ${numPages - 1}` })

const runError = (
  pages: Pages,
  tokens: number,
  i: number,
  { page, offset, from, count }: Run,
): InvalidArgument | undefined => {
  const { blockSize } = pages.arena.layout
  const bad = pageError(pages, `runs[${i}].page`, page)
  if (bad !== undefined) return bad
  const limits = [
    ["offset", offset, blockSize, `within a page of ${blockSize} slots`],
    [
      "count",
      count,
      blockSize - offset,
      `at most ${blockSize - offset}, the slots left in its page`,
    ],
    ["from", from, tokens - count, `at most ${tokens - count}: ${tokens} rows are given`],
  ] as const
  for (const [name, value, most, need] of limits) {
    if (Number.isSafeInteger(value) && value >= 0 && value <= most) continue
    const why = value < 0 || !Number.isSafeInteger(value) ? "a whole number, at least 0" : need
    return new InvalidArgument({ name: `runs[${i}].${name}`, value, need: why })
  }
}

/** Runs in the order of their slots, none over another. */
const ordered = (runs: ReadonlyArray<Run>): Result.Result<ReadonlyArray<Run>, InvalidArgument> => {
  const sorted = runs.filter(({ count }) => count > 0)
    .sort((a, b) => a.page - b.page || a.offset - b.offset)
  for (const [i, run] of sorted.entries()) {
    const next = sorted[i + 1]
    if (next === undefined || next.page !== run.page) continue
    if (next.offset >= run.offset + run.count) continue
    const need = `written by one run only, and two write slot ${next.offset} of it`
    return Result.fail(new InvalidArgument({ name: "page", value: run.page, need }))
  }
  return Result.succeed(sorted)
}

/**
 * The pool with these runs of rows written; `self` stays as it is. Touches no device. Slots below a run's first
 * must hold rows: what nobody wrote is never read. Runs may come in any order and may not overlap; realising them
 * takes one launch for each layer and half (one a layer for combined rows), however many there are.
 * O(runs), and a page that is not written at its fill mark is copied when it is realised.
 */
export const write = (
  self: Pages,
  rows: AnyRows,
  runs: ReadonlyArray<Run>,
): Result.Result<Pages, WriteError> =>
  Result.gen(function* () {
    const tokens = tokensOf(rows)
    for (const [i, run] of runs.entries()) {
      const bad = runError(self, tokens, i, run)
      if (bad !== undefined) return yield* Result.fail(bad)
    }
    // Of no runs, the rows are checked all the same.
    yield* writeRuns(empty(self.arena), rows, [])
    const byPage = grouped(yield* ordered(runs), ({ page }) => page)
    let { written } = self
    for (const [page, its] of byPage) {
      const placed = its.map(({ offset, from, count }) => ({ at: offset, from, count }))
      written = HashMap.set(written, page, yield* writeRuns(at(self, page), rows, placed))
    }
    return of(self.arena, self.numPages, written)
  })

/** The pool with page `page` replaced. Internal. */
export const set = (self: Pages, page: number, cache: KvCache): Pages =>
  of(self.arena, self.numPages, HashMap.set(self.written, page, cache))

/** The pool with nothing in these pages: their rows are let go when no value that sees them is kept. */
export const clear = (self: Pages, pages: Iterable<number>): Pages =>
  of(self.arena, self.numPages, HashMap.removeMany(self.written, pages))

/** Some effect over these pages, placed. Internal. */
export const reading = <A, E, R>(
  doing: string,
  pages: ReadonlyArray<KvCache>,
  work: (flight: Flight) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E | RealizeError, R | Needs> =>
  during(doing, pages, (flight) =>
    Effect.andThen(
      realizeIn(flight, doing),
      Effect.suspend(() => work(flight)),
    ))

/** Places and writes what these pools still owe, all or nothing, and makes the lease hold them. */
export const realize = (
  ...pools: ReadonlyArray<Pages>
): Effect.Effect<void, RealizeError, Needs> =>
  reading(
    "realise pages",
    pools.flatMap(caches),
    () => Effect.void,
  )

/** The caches of these pages, and how many of a context's tokens each holds. Internal. */
export const pagesOf = (
  self: Pages,
  blocks: ReadonlyArray<number>,
  contextLen: number,
): Result.Result<ReadonlyArray<readonly [KvCache, number]>, InvalidArgument> =>
  Result.gen(function* () {
    const { blockSize } = self.arena.layout
    if (!(Number.isSafeInteger(contextLen) && contextLen >= 0)) {
      const need = "a whole number, at least 0"
      return yield* Result.fail(
        new InvalidArgument({ name: "contextLen", value: contextLen, need }),
      )
    }
    const out: Array<readonly [KvCache, number]> = []
    for (let i = 0; i * blockSize < contextLen; i++) {
      const page = blocks[i] ?? -1
      const bad = pageError(self, `block ${i} of ${contextLen} tokens`, page)
      if (bad !== undefined) return yield* Result.fail(bad)
      const used = Math.min(blockSize, contextLen - i * blockSize)
      const cache = at(self, page)
      if (cache.length < used) {
        const name = `tokens read of page ${page}`
        const need = `at most ${cache.length}, the rows written to it`
        return yield* Result.fail(new InvalidArgument({ name, value: used, need }))
      }
      out.push([cache, used])
    }
    return out
  })

/** Keys and values of a context of so many tokens that lies in these pages, in order. O(tokens × layers). */
export const gather = (
  self: Pages,
  blocks: ReadonlyArray<number>,
  contextLen: number,
): Effect.Effect<Gathered, RealizeError, Needs> =>
  Effect.flatMap(
    Effect.fromResult(pagesOf(self, blocks, contextLen)),
    (used) =>
      reading("gather pages", used.map(([cache]) => cache), (flight) => {
        const { blockSize } = self.arena.layout
        const pieces = used.map(([cache, to], i): Piece => ({
          cache,
          from: 0,
          to,
          row: i * blockSize,
        }))
        return Effect.fromResult(gatherTo(flight.transaction, self.arena, contextLen, pieces))
      }),
  )

/** What is wrong with a whole pool as tensors: pages take no memory until they are written, and these do. */
export const denseError = ({ arena: { layout }, numPages }: Pages): InvalidArgument | undefined => {
  const { layers, keyHeads, keyDim, valueHeads, valueDim, blockSize } = layout
  const page = 4 * layers * blockSize * Math.max(keyHeads * keyDim, valueHeads * valueDim)
  const most = Math.floor(mostDense / page)
  if (numPages <= most) return undefined
  const need = `at most ${most}, whose rows one tensor holds`
  return new InvalidArgument({ name: "the pages of the whole pool", value: numPages, need })
}

/**
 * The whole pool, `numPages · blockSize` tokens, with zeros where nobody wrote. A launch for each layer, half and
 * run of full pages.
 */
export const gatherAll = (self: Pages): Effect.Effect<Gathered, RealizeError, Needs> => {
  const bad = denseError(self)
  if (bad !== undefined) return Effect.fail(bad)
  return reading("gather pages", caches(self), (flight) => {
    const { blockSize } = self.arena.layout
    const pieces = [...HashMap.entries(self.written)].sort(([a], [b]) => a - b)
      .map(([page, cache]): Piece => ({ cache, from: 0, to: cache.length, row: page * blockSize }))
    const tokens = self.numPages * blockSize
    return Effect.fromResult(gatherTo(flight.transaction, self.arena, tokens, pieces))
  })
}
