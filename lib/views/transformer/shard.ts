/**
 * A view divided over a mesh, as data: shards are views of fewer rows, positions, heads or value elements, and what
 * they attend to merges to what the whole does.
 *
 * @module
 */
import { Effect, Result, type Scope } from "effect"
import * as Arena from "../../cache/Arena.ts"
import type { Needs } from "../../cache/Flight.ts"
import type { Gathered } from "../../cache/gather.ts"
import * as Lease from "../../cache/Lease.ts"
import { realize, type RealizeError } from "../../cache/Realize.ts"
import { empty, type KvCache } from "../../cache/value.ts"
import { dropBefore, truncate, type WriteError } from "../../cache/write.ts"
import type { Gpu } from "../../device/service.ts"
import type { InvalidArgument, ShapeMismatch } from "../../errors.ts"
import { slice } from "../../tensor/arrange.ts"
import type * as Recording from "../../tensor/Recording.ts"
import * as Axis from "./Axis.ts"
import { copyRows } from "./copy.ts"
import { type InitError, layoutOf } from "./init.ts"
import { type Partitioning, resolve } from "./partition.ts"
import { MODE_PREFILL, type RuntimeMode } from "./RuntimeMode.ts"
import type { Parts, Range, Shard, Sharded } from "./sharded.ts"
import { type TransformerCacheView, view } from "./value.ts"

/** What dividing may fail with. */
export type ShardError = InitError | RealizeError | WriteError

const partsOf = (
  { rows, metadata, maximumSequenceLength }: TransformerCacheView,
  partitioning: Partitioning,
  mode: RuntimeMode,
): Result.Result<Parts, InvalidArgument> => {
  const { keyHeads, valueHeads, valueDim } = metadata
  const three = [Axis.BATCH, Axis.KV_LENGTH, Axis.KV_HEAD] as const
  const sizes = [rows.length, maximumSequenceLength] as const
  const keys = resolve(partitioning, { axes: three, shape: [...sizes, keyHeads], mode })
  const values = resolve(partitioning, {
    axes: [...three, Axis.KV_HEAD_DIM],
    shape: [...sizes, valueHeads, valueDim],
    mode,
  })
  return Result.flatMap(keys, () =>
    Result.map(values, (found) => {
      const [batch, positions, heads, valueDims] = found.map(({ parts }) => parts)
      return { batch: batch!, positions: positions!, heads: heads!, valueDims: valueDims! }
    }))
}

/** The i-th of equal parts. */
const part = (size: number, parts: number, i: number): Range => ({
  from: i * size / parts,
  to: (i + 1) * size / parts,
})

/** The same sequence where only these positions are seen: a number or two, no copy. */
const within = (row: KvCache, { from, to }: Range): Result.Result<KvCache, InvalidArgument> => {
  const [first, end] = [Math.max(from, row.starts[0]!), Math.min(to, row.length)]
  if (first >= end) return Result.succeed(empty(row.arena))
  return Result.flatMap(truncate(row, end), (shorter) => dropBefore(shorter, first, 0))
}

/** These heads, and these elements of values. */
const pick = (
  { keys, values }: Gathered,
  { keyHeads, valueHeads, valueDims }: Pick<Shard, "keyHeads" | "valueHeads" | "valueDims">,
): Effect.Effect<Gathered, ShapeMismatch | InvalidArgument, Recording.Recording> =>
  Effect.gen(function* () {
    const some = yield* slice(values, "valueHeads", valueHeads.from, valueHeads.to)
    return {
      keys: yield* slice(keys, "keyHeads", keyHeads.from, keyHeads.to),
      values: yield* slice(some, "valueDim", valueDims.from, valueDims.to),
    }
  })

const rangesOf = (self: TransformerCacheView, parts: Parts, i: number) => {
  const { keyHeads, valueHeads, valueDim } = self.metadata
  const d = i % parts.valueDims
  const h = Math.floor(i / parts.valueDims) % parts.heads
  const l = Math.floor(i / parts.valueDims / parts.heads) % parts.positions
  const b = Math.floor(i / parts.valueDims / parts.heads / parts.positions)
  return {
    batch: part(self.rows.length, parts.batch, b),
    positions: part(self.maximumSequenceLength, parts.positions, l),
    keyHeads: part(keyHeads, parts.heads, h),
    valueHeads: part(valueHeads, parts.heads, h),
    valueDims: part(valueDim, parts.valueDims, d),
  }
}

const length = ({ from, to }: Range): number => to - from

const shardOf = (
  self: TransformerCacheView,
  parts: Parts,
  i: number,
): Effect.Effect<Shard, ShardError, Needs | Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    const ranges = rangesOf(self, parts, i)
    const { batch, positions, keyHeads, valueHeads, valueDims } = ranges
    const { numHeads, headDim: _, ...sizes } = self.metadata
    const metadata = {
      ...sizes,
      batchSize: length(batch),
      numHeads: numHeads === undefined ? undefined : numHeads / parts.heads,
      headDim: undefined,
      keyHeads: length(keyHeads),
      valueHeads: length(valueHeads),
      valueDim: length(valueDims),
    }
    const rows = yield* Effect.fromResult(
      Result.all(self.rows.slice(batch.from, batch.to).map((row) => within(row, positions))),
    )
    const starts = self.starts.slice(batch.from, batch.to)
    const ambient = yield* Lease.Service
    if (parts.heads * parts.valueDims === 1) {
      return { ...ranges, view: view({ ...self, rows, starts, metadata }), lease: ambient }
    }
    const { blockSize } = self.arena.layout
    // A part of a quantised row would get a scale of its own: it is kept as it reads.
    const cut = self.arena.layout.dtype === "int8" && parts.valueDims > 1
    const dtype = cut ? "f32" : self.arena.layout.dtype
    const layout = yield* Effect.fromResult(layoutOf(metadata, { dtype, blockSize }))
    const blocks = rows.length * Math.ceil(self.maximumSequenceLength / blockSize)
    const arena = yield* Arena.make(layout, blocks)
    const lease = yield* Lease.make(arena)
    const copied = yield* copyRows(rows, self.arena, arena, (dense) => pick(dense, ranges))
    yield* Lease.under(lease)(realize(copied))
    return { ...ranges, view: view({ ...self, arena, rows: copied, starts, metadata }), lease }
  })

/**
 * Divides a view by a table: rows of the batch and positions share its memory; heads and value elements are copied
 * into arenas of their own, which the scope owns, one a shard. A size that does not divide is refused.
 */
export const shard = (
  self: TransformerCacheView,
  partitioning: Partitioning,
  mode: RuntimeMode = MODE_PREFILL,
): Effect.Effect<Sharded, ShardError, Needs | Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    const parts = yield* Effect.fromResult(partsOf(self, partitioning, mode))
    yield* realize(self.rows)
    const count = parts.batch * parts.positions * parts.heads * parts.valueDims
    const indices = Array.from({ length: count }, (_, i) => i)
    return {
      whole: self,
      parts,
      shards: yield* Effect.forEach(indices, (i) => shardOf(self, parts, i)),
    }
  })
