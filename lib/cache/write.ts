/** The pure writes: each returns a new cache and touches neither a device nor a ledger. @module */
import { Result } from "effect"
import { dual } from "effect/Function"
import { CapacityExceeded, DTypeMismatch, InvalidArgument, type ShapeMismatch } from "../errors.ts"
import * as Shape from "../tensor/Shape.ts"
import type { Tensor } from "../tensor/value.ts"
import type { Arena } from "./Arena.ts"
import * as Layout from "./Layout.ts"
import { type AnyRows, type KvCache, type Node, nodeOf, view } from "./value.ts"

/** What pure writes may fail with. */
export type WriteError = ShapeMismatch | DTypeMismatch | CapacityExceeded | InvalidArgument

/**
 * Most tokens a cache of this arena may hold. Groups with a window set no bound: they let go of blocks on the
 * way, and say `OutOfBlocks` when they did not.
 */
export const capacity = ({ layout, ledgers }: Arena): number =>
  layout.groups.reduce(
    (least, { window }, group) =>
      window === undefined ? Math.min(least, ledgers[group]!.numBlocks * layout.blockSize) : least,
    layout.capacity,
  )

/** Tokens that rows hold. */
export const tokensOf = (rows: AnyRows): number =>
  ("combined" in rows ? rows.combined : "latent" in rows ? rows.latent : rows.keys).shape[1] ?? 0

/** Rows that the arena does not store like this. */
const rowsError = (
  { layout }: Arena,
  rows: AnyRows,
): ShapeMismatch | DTypeMismatch | InvalidArgument | undefined => {
  const { layers, keyHeads, keyDim, valueHeads, valueDim, placement } = layout
  const dtype = Layout.givenAs(layout)
  if ("combined" in rows && placement !== "interleaved") {
    const need = `"interleaved", which combined rows are placed as`
    return new InvalidArgument({ name: "the placement", value: placement, need })
  }
  if ("latent" in rows !== (placement === "latent")) {
    const need = "latent" in rows
      ? `"latent", which keys alone are placed as`
      : `another than "latent", which takes keys alone: \`{ latent }\``
    return new InvalidArgument({ name: "the placement", value: placement, need })
  }
  const tokens = tokensOf(rows)
  const needs = {
    keys: { layers, tokens, keyHeads, keyDim },
    values: { layers, tokens, valueHeads, valueDim },
    combined: { layers, tokens, combinedHeads: 2 * keyHeads, dim: keyDim },
    latent: { layers, tokens, keyHeads, keyDim },
  }
  const given: ReadonlyArray<readonly [keyof typeof needs, Tensor<Layout.Given, string>]> =
    "combined" in rows
      ? [["combined", rows.combined]]
      : "latent" in rows
      ? [["latent", rows.latent]]
      : [["keys", rows.keys], ["values", rows.values]]
  for (const [half, { dtype: actual, shape }] of given) {
    const tensor = `rows.${half}`
    if (actual !== dtype) return new DTypeMismatch({ tensor, expected: dtype, actual })
    const bad = Shape.sizesError(tensor, shape, needs[half])
    if (bad !== undefined) return bad
  }
}

/** Lowest position that may still be written or cut at. */
const floor = (self: KvCache): number => Math.max(...self.starts)

/** A whole position between the first visible one and the end. */
const positionError = (
  self: KvCache,
  name: string,
  value: number,
  end = self.length,
): InvalidArgument | undefined =>
  Number.isSafeInteger(value) && value >= floor(self) && value <= end
    ? undefined
    : new InvalidArgument({
      name,
      value,
      need: `a whole position from ${floor(self)} (the first visible) to ${end} (the length)`,
    })

/** `count` of the rows, from row `from` on, to go to position `at` and those after it. Internal. */
export interface Run {
  readonly at: number
  readonly from: number
  readonly count: number
}

/** One node for several runs. What lies between them is the base's. */
const several = (base: KvCache, rows: AnyRows, runs: ReadonlyArray<Run>): Node => {
  const [first, last] = [runs[0]!, runs.at(-1)!]
  const from = new Array<number>(last.at + last.count - first.at).fill(-1)
  for (const run of runs) {
    for (let i = 0; i < run.count; i++) from[run.at - first.at + i] = run.from + i
  }
  return nodeOf(base, first.at, from.length, rows, from)
}

/**
 * `write` of runs of the rows, which may be combined; the runs are in order, and none lies over another. However
 * many there are, it is one write: a block that has to be copied is copied once. Internal.
 */
export const writeRuns = (
  self: KvCache,
  rows: AnyRows,
  runs: ReadonlyArray<Run>,
): Result.Result<KvCache, WriteError> => {
  const bad = rowsError(self.arena, rows)
  if (bad !== undefined) return Result.fail(bad)
  let { length } = self
  for (const { at, count } of runs) {
    const wrong = positionError(self, "at", at, length)
    if (wrong !== undefined) return Result.fail(wrong)
    length = Math.max(length, at + count)
  }
  if (length > capacity(self.arena)) {
    return Result.fail(new CapacityExceeded({ needed: length, capacity: capacity(self.arena) }))
  }
  const some = runs.filter(({ count }) => count > 0)
  const [first] = some
  if (first === undefined) return Result.succeed(self)
  const node = some.length === 1
    ? nodeOf(self, first.at, first.count, rows, first.from)
    : several(self, rows, some)
  return Result.succeed(view(self.arena, node, length, self.starts))
}

const write3 = (self: KvCache, at: number, rows: AnyRows): Result.Result<KvCache, WriteError> =>
  writeRuns(self, rows, [{ at, from: 0, count: tokensOf(rows) }])

/**
 * The cache with rows `[at, at + tokens)` replaced; `at` lies between the first visible position and the
 * length. Touches no device. O(1); realising it copies the blocks it overlaps, O(rows + blocks touched).
 */
export const write: {
  (at: number, rows: AnyRows): (self: KvCache) => Result.Result<KvCache, WriteError>
  (self: KvCache, at: number, rows: AnyRows): Result.Result<KvCache, WriteError>
} = dual(3, write3)

/**
 * The cache with these tokens after its own; `self` stays as it is. Touches no device. O(1).
 * Rows are as the arena stores them, and f32 where it stores int8, else `DTypeMismatch`: int8 is made of them
 * once, as they are placed. What `gather` reads of it is exact, so appended again it gives the same bits.
 * A linear chain of appends never copies; a fork copies at most `blockSize − 1` slots, once.
 *
 * @example
 * ```ts
 * import { type KvCache as Cache, KvCache } from "@kvasir/kvasir"
 * import { Result } from "effect"
 * const twice = (cache: Cache, rows: KvCache.Rows) =>
 *   cache.length + 2 * rows.keys.shape[1]! ===
 *     Result.getOrThrow(Result.flatMap(KvCache.append(cache, rows), KvCache.append(rows))).length
 * ```
 */
export const append: {
  (rows: AnyRows): (self: KvCache) => Result.Result<KvCache, WriteError>
  (self: KvCache, rows: AnyRows): Result.Result<KvCache, WriteError>
} = dual(2, (self: KvCache, rows: AnyRows) => write3(self, self.length, rows))

/** Law: truncate(write(b, at, rows), m) = m ≤ at ? truncate(b, m) : write(truncate(b, …), at, rows[0, m − at)). */
const cut = (self: KvCache, length: number, starts: ReadonlyArray<number>): KvCache => {
  const { node, arena } = self
  // A step's rows are on the device already (or lost): a shorter view of the node is all there is to make.
  const written = node.tables !== undefined || node.rows === undefined
  if (written || length === self.length) return view(arena, node, length, starts, self.held)
  const base = node.base!
  if (length <= node.at) return cut(base, length, starts)
  const under = cut(base, Math.min(length, base.length), starts)
  const count = Math.min(node.count, length - node.at)
  return view(arena, nodeOf(under, node.at, count, node.rows, node.from), length, starts)
}

/**
 * Its first `length` tokens; `length` lies between the first visible position and the length.
 * Touches no device and frees nothing (`Lease.keep` does). O(1), or O(unrealised writes).
 */
export const truncate: {
  (length: number): (self: KvCache) => Result.Result<KvCache, InvalidArgument>
  (self: KvCache, length: number): Result.Result<KvCache, InvalidArgument>
} = dual(2, (self: KvCache, length: number): Result.Result<KvCache, InvalidArgument> => {
  const bad = positionError(self, "length", length)
  return bad === undefined ? Result.succeed(cut(self, length, self.starts)) : Result.fail(bad)
})

/**
 * The cache whose layers of `group` no longer see positions below `position`. A number only: blocks are
 * freed when no value that sees them is kept (`Lease.keep`). O(1).
 */
export const dropBefore: {
  (position: number, group: number): (self: KvCache) => Result.Result<KvCache, InvalidArgument>
  (self: KvCache, position: number, group: number): Result.Result<KvCache, InvalidArgument>
} = dual(
  3,
  (self: KvCache, position: number, group: number): Result.Result<KvCache, InvalidArgument> => {
    const start = self.starts[group]
    if (start === undefined) {
      const need = `a layer group from 0 to ${self.starts.length - 1}`
      return Result.fail(new InvalidArgument({ name: "group", value: group, need }))
    }
    if (!(Number.isSafeInteger(position) && position >= 0 && position <= self.length)) {
      const need = `a whole position from 0 to ${self.length} (the length)`
      return Result.fail(new InvalidArgument({ name: "position", value: position, need }))
    }
    const starts = self.starts.with(group, Math.max(start, position))
    return Result.succeed(view(self.arena, self.node, self.length, starts, self.held))
  },
)
