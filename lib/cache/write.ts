/** The pure writes: each returns a new cache and touches neither a device nor a ledger. @module */
import { Result } from "effect"
import { dual } from "effect/Function"
import { CapacityExceeded, DTypeMismatch, InvalidArgument, ShapeMismatch } from "../errors.ts"
import type { Arena } from "./Arena.ts"
import { type KvCache, nodeOf, type Rows, view } from "./value.ts"

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

const rowsError = (arena: Arena, rows: Rows): ShapeMismatch | DTypeMismatch | undefined => {
  const { layers, keyHeads, keyDim, valueHeads, valueDim, dtype } = arena.layout
  const tokens = rows.keys.shape[1] ?? 0
  const need = { layers, tokens, keyHeads, keyDim, valueHeads, valueDim }
  for (const half of ["keys", "values"] as const) {
    const tensor = `rows.${half}`
    if (rows[half].dtype !== dtype) {
      return new DTypeMismatch({ tensor, expected: dtype, actual: rows[half].dtype })
    }
    const axes = half === "keys"
      ? ["layers", "tokens", "keyHeads", "keyDim"] as const
      : ["layers", "tokens", "valueHeads", "valueDim"] as const
    for (const [i, axis] of axes.entries()) {
      const [expected, actual] = [need[axis], rows[half].shape[i] ?? 0]
      if (expected !== actual) return new ShapeMismatch({ tensor, axis, expected, actual })
    }
  }
}

/** Lowest position that may still be written or cut at. */
const floor = (self: KvCache): number => Math.max(...self.starts)

/** A whole position between the first visible one and the end. */
const positionError = (
  self: KvCache,
  name: string,
  value: number,
): InvalidArgument | undefined =>
  Number.isSafeInteger(value) && value >= floor(self) && value <= self.length
    ? undefined
    : new InvalidArgument({
      name,
      value,
      need: `a whole position from ${
        floor(self)
      } (the first visible) to ${self.length} (the length)`,
    })

const write3 = (self: KvCache, at: number, rows: Rows): Result.Result<KvCache, WriteError> => {
  const bad = rowsError(self.arena, rows) ?? positionError(self, "at", at)
  if (bad !== undefined) return Result.fail(bad)
  const count = rows.keys.shape[1]!
  const length = Math.max(self.length, at + count)
  if (length > capacity(self.arena)) {
    return Result.fail(new CapacityExceeded({ needed: length, capacity: capacity(self.arena) }))
  }
  if (count === 0) return Result.succeed(self)
  return Result.succeed(view(self.arena, nodeOf(self, at, count, rows), length, self.starts))
}

/**
 * The cache with rows `[at, at + tokens)` replaced; `at` lies between the first visible position and the
 * length. Touches no device. O(1); realising it copies the blocks it overlaps, O(rows + blocks touched).
 */
export const write: {
  (at: number, rows: Rows): (self: KvCache) => Result.Result<KvCache, WriteError>
  (self: KvCache, at: number, rows: Rows): Result.Result<KvCache, WriteError>
} = dual(3, write3)

/**
 * The cache with these tokens after its own; `self` stays as it is. Touches no device. O(1).
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
  (rows: Rows): (self: KvCache) => Result.Result<KvCache, WriteError>
  (self: KvCache, rows: Rows): Result.Result<KvCache, WriteError>
} = dual(2, (self: KvCache, rows: Rows) => write3(self, self.length, rows))

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
  return view(arena, nodeOf(under, node.at, count, node.rows), length, starts)
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
