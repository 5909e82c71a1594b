/** New tokens for the rows of a batch. @module */
import { Effect, Result } from "effect"
import type { Needs } from "../../cache/Flight.ts"
import * as Pages from "../../cache/Pages.ts"
import * as Steps from "../../cache/Step.ts"
import type { AnyRows, KvCache } from "../../cache/value.ts"
import { tokensOf, truncate, type WriteError } from "../../cache/write.ts"
import {
  CapacityExceeded,
  type DuplicateBlock,
  InvalidArgument,
  ShapeMismatch,
} from "../../errors.ts"
import { largest } from "../../tensor/numbers.ts"
import {
  type Batch,
  type BatchError,
  type ContinuousBatchingKvCacheCollection,
  sharedError,
  withPages,
} from "./value.ts"

/** What a batch cannot do with so many new tokens. */
const lengthsError = (
  self: ContinuousBatchingKvCacheCollection,
  queryLengths: ReadonlyArray<number>,
): InvalidArgument | ShapeMismatch | CapacityExceeded | DuplicateBlock | undefined => {
  const { lookupTable, cacheLengths, maxSeqLen } = self
  const [expected, actual] = [lookupTable.length, queryLengths.length]
  if (expected !== actual) {
    return new ShapeMismatch({ tensor: "queryLengths", axis: "batch", expected, actual })
  }
  for (const [b, value] of queryLengths.entries()) {
    if (!(Number.isSafeInteger(value) && value >= 0)) {
      const need = "a whole number, at least 0"
      return new InvalidArgument({ name: `queryLengths[${b}]`, value, need })
    }
    const needed = cacheLengths[b]! + value
    if (needed > maxSeqLen) return new CapacityExceeded({ needed, capacity: maxSeqLen })
  }
  return sharedError(self, (b) => queryLengths[b]! > 0)
}

/** The rows' blocks, without what lies past each row's length. */
const cachesOf = (
  { pages, lookupTable, cacheLengths }: ContinuousBatchingKvCacheCollection,
): Result.Result<ReadonlyArray<KvCache>, InvalidArgument> =>
  Result.all(lookupTable.map((page, b) => truncate(Pages.at(pages, page), cacheLengths[b]!)))

const counted = (lengths: ReadonlyArray<number>, added: ReadonlyArray<number>): Partial<Batch> => ({
  cacheLengths: lengths,
  maxSeqLength: largest(added, 0),
  maxCacheLength: largest(lengths, 0),
})

/**
 * The collection with new tokens after each row's own, `queryLengths[b]` of them: rows of all layers, stored as the
 * arena stores them, the rows of the batch one after another. Touches no device. Where a block ends it goes on in
 * place; what lies past a row's length is let go. `maxSeqLength` and `maxCacheLength` then say what was added.
 */
export const append = (
  self: ContinuousBatchingKvCacheCollection,
  rows: AnyRows,
  queryLengths: ReadonlyArray<number>,
): Result.Result<ContinuousBatchingKvCacheCollection, BatchError | WriteError | DuplicateBlock> =>
  Result.gen(function* () {
    const { lookupTable, cacheLengths } = self
    const bad = lengthsError(self, queryLengths)
    if (bad !== undefined) return yield* Result.fail(bad)
    const [expected, actual] = [queryLengths.reduce((sum, n) => sum + n, 0), tokensOf(rows)]
    if (expected !== actual) {
      return yield* Result.fail(
        new ShapeMismatch({ tensor: "rows", axis: "tokens", expected, actual }),
      )
    }
    const caches = yield* cachesOf(self)
    let from = 0
    let { pages } = self
    const runs: Array<Pages.Run> = []
    for (const [b, count] of queryLengths.entries()) {
      if (count === 0) continue
      const page = lookupTable[b]!
      pages = Pages.set(pages, page, caches[b]!)
      runs.push({ page, offset: cacheLengths[b]!, from, count })
      from += count
    }
    const written = yield* Pages.write(pages, rows, runs)
    const lengths = cacheLengths.map((length, b) => length + queryLengths[b]!)
    return yield* withPages(self, written, counted(lengths, queryLengths))
  })

/** The next collection, and what the body of a step made. */
export interface Stepped<A> {
  readonly collection: ContinuousBatchingKvCacheCollection
  readonly value: A
}

/**
 * Adds `queryLengths[b]` tokens to each row as `KvCache.step` does: the body writes each layer and attends. Not for
 * latent attention, whose rows are appended.
 */
export const step = <A, E, R>(
  self: ContinuousBatchingKvCacheCollection,
  queryLengths: ReadonlyArray<number>,
  body: (step: Steps.Step) => Effect.Effect<Steps.Outcome<A>, E, R>,
): Effect.Effect<
  Stepped<A>,
  E | Steps.StepError | BatchError | DuplicateBlock,
  R | Needs
> =>
  Effect.gen(function* () {
    const bad = lengthsError(self, queryLengths)
    if (bad !== undefined) return yield* Effect.fail(bad)
    const before = yield* Effect.fromResult(cachesOf(self))
    const { caches, value } = yield* Steps.step(before, queryLengths, body)
    const pages = caches.reduce(
      (pool, cache, b) => cache === before[b] ? pool : Pages.set(pool, self.lookupTable[b]!, cache),
      self.pages,
    )
    const lengths = caches.map(({ length }) => length)
    const added = lengths.map((length, b) => length - self.cacheLengths[b]!)
    const collection = yield* Effect.fromResult(withPages(self, pages, counted(lengths, added)))
    return { collection, value }
  })
