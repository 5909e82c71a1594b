/**
 * A step: slots for new tokens are claimed first, the body computes the rows, writes them layer by layer and
 * attends, and says how many tokens each row kept.
 *
 * @module
 */
import { Effect, Result } from "effect"
import { CapacityExceeded, InvalidArgument, ShapeMismatch } from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import type { Tensor } from "../tensor/value.ts"
import type { Arena } from "./Arena.ts"
import * as Batch from "./Batch.ts"
import { during, type Flight, type Needs, type Settlement, take } from "./Flight.ts"
import { none, type RealizeError, realizeIn, recordTo, writeTo } from "./Realize.ts"
import { type KvCache, nodeOf, view } from "./value.ts"
import { capacity } from "./write.ts"

/** One layer group of a step, on the device. */
export interface StepGroup {
  readonly slotMapping: Tensor<"u32", "tokens pair">
  readonly blockTables: Tensor<"u32", "batch maxBlocks">
  readonly visible: Tensor<"u32", "tokens three">
}

/** A batch of rows on the device. */
export interface Uploaded {
  /** Position of each new token in its sequence. */
  readonly positions: Tensor<"u32", "tokens">
  /** Index, among the new tokens, of the last one of each row. */
  readonly last: Tensor<"u32", "batch">
  readonly groups: ReadonlyArray<StepGroup>
}

/** What the body of a step is given. */
export interface Step extends Uploaded {
  readonly arena: Arena
  /** One for each cache: where it lies, what it may see, how many new tokens it brings. */
  readonly rows: ReadonlyArray<Batch.Row>
  /** Layers written so far. Internal. */
  readonly written: Set<number>
}

/** What the body of a step answers. */
export interface Outcome<A> {
  readonly value: A
  /** Tokens each row keeps, from its first new one; all of them unless said. */
  readonly kept?: ReadonlyArray<number>
}

/** The next caches, and what the body made. */
export interface Stepped<A> {
  readonly caches: ReadonlyArray<KvCache>
  readonly value: A
}

/** What a step may fail with besides its body's own errors; nothing has changed then. */
export type StepError = RealizeError | CapacityExceeded

const countsError = (
  caches: ReadonlyArray<KvCache>,
  counts: ReadonlyArray<number>,
): InvalidArgument | CapacityExceeded | undefined => {
  if (counts.length !== caches.length) {
    const need = `${caches.length} numbers, one for each cache`
    return new InvalidArgument({ name: "counts", value: counts.join(" "), need })
  }
  for (const [i, value] of counts.entries()) {
    if (!(Number.isSafeInteger(value) && value >= 0)) {
      return new InvalidArgument({
        name: `counts[${i}]`,
        value,
        need: "a whole number, at least 0",
      })
    }
    const needed = caches[i]!.length + value
    const most = capacity(caches[i]!.arena)
    if (needed > most) return new CapacityExceeded({ needed, capacity: most })
  }
}

const keptError = (
  counts: ReadonlyArray<number>,
  kept: ReadonlyArray<number>,
): InvalidArgument | undefined => {
  for (const [i, count] of counts.entries()) {
    const value = kept[i]
    if (value !== undefined && Number.isSafeInteger(value) && value >= 0 && value <= count) continue
    const need = `a whole number from 0 to ${count}, the tokens of the row`
    return new InvalidArgument({ name: `kept[${i}]`, value: value ?? "nothing", need })
  }
}

/** Host arrays of these rows as tensors of the recording. Internal. */
export const upload = (arena: Arena, rows: ReadonlyArray<Batch.Row>): Uploaded => {
  const batch = Batch.of(arena, rows)
  const { tokens, queryStarts } = batch
  const words = <const A extends string>(
    axes: A,
    shape: ReadonlyArray<number>,
    data: Uint32Array,
  ) => Recording.fresh("u32", axes, shape, data)
  const last = Uint32Array.from(rows, (_, i) => Math.max(1, queryStarts[i + 1]!) - 1)
  return {
    positions: words("tokens", [tokens], batch.positions),
    last: words("batch", [rows.length], last),
    groups: batch.groups.map((g) => ({
      slotMapping: words("tokens pair", [tokens, 2], g.slotMapping),
      blockTables: words("batch maxBlocks", [rows.length, g.maxBlocks], g.blockTables),
      visible: words("tokens three", [tokens, 3], g.visible),
    })),
  }
}

/** One row a new token, as wide as the layout: a wider one would reach into other blocks. */
const rowsError = (
  { arena: { layout }, positions }: Step,
  k: Tensor<"f32", string>,
  v: Tensor<"f32", string>,
): ShapeMismatch | undefined => {
  const { keyHeads, keyDim: headDim, valueHeads, valueDim } = layout
  const tokens = positions.shape[0]!
  const needs = [
    ["k", k, Object.entries({ tokens, keyHeads, headDim })],
    ["v", v, Object.entries({ tokens, valueHeads, valueDim })],
  ] as const
  for (const [tensor, { shape }, axes] of needs) {
    for (const [i, [axis, expected]] of axes.entries()) {
      const actual = shape[i] ?? 0
      if (expected !== actual) return new ShapeMismatch({ tensor, axis, expected, actual })
    }
  }
}

/** Writes this step's rows of one layer into the claimed slots: the plain function under attention. */
export const writeLayer = (
  rec: Recording.Open,
  step: Step,
  layer: number,
  keys: Tensor<"f32", string>,
  values: Tensor<"f32", string>,
): Result.Result<void, ShapeMismatch | InvalidArgument> => {
  const { arena, groups, written } = step
  if (arena.layout.placement === "latent") {
    const need = `another than "latent": rows that are keys alone are appended, not stepped`
    return Result.fail(
      new InvalidArgument({ name: "the placement", value: "latent", need }),
    )
  }
  const group = arena.layout.groups.findIndex(({ layers }) => layers.includes(layer))
  const { slotMapping } = groups[group]!
  const bad = rowsError(step, keys, values)
  if (bad !== undefined) return Result.fail(bad)
  written.add(layer)
  return Result.flatMap(
    writeTo(rec, arena, layer, ["keys"], keys, 0, slotMapping, none()),
    () => writeTo(rec, arena, layer, ["values"], values, 0, slotMapping, none()),
  )
}

const begin = (
  flight: Flight,
  caches: ReadonlyArray<KvCache>,
  counts: ReadonlyArray<number>,
  outcome: () => Settlement | undefined,
) => {
  const nodes = caches.map((cache, i) => nodeOf(cache, cache.length, counts[i]!, undefined))
  return Result.flatMap(take(flight, "step", nodes, outcome), ({ claim, work }) => {
    const rows = nodes.map((node, i): Batch.Row => ({
      tables: claim.places.get(node)!.tables,
      starts: caches[i]!.starts,
      cachedLen: caches[i]!.length,
      queryLen: counts[i]!,
    }))
    const { arena } = flight.lease
    const made: Step = { arena, rows, written: new Set(), ...upload(arena, rows) }
    return Result.map(recordTo(flight.transaction, arena, work), () => ({ nodes, step: made }))
  })
}

/**
 * Adds `counts[i]` tokens to each cache. `body` records, for each layer, a write and attention
 * (`Attention.attend`), and may fetch values on the way. The next caches come out of `Program.run` only when
 * everything succeeded; else references, marks and the free set are as before.
 * O(tokens + blocks touched), independent of the length but for the block tables the kernels read.
 */
export const step = <A, E, R>(
  caches: ReadonlyArray<KvCache>,
  counts: ReadonlyArray<number>,
  body: (step: Step) => Effect.Effect<Outcome<A>, E, R>,
): Effect.Effect<Stepped<A>, E | StepError, R | Needs> =>
  during(
    "step",
    caches,
    Effect.fnUntraced(function* (flight) {
      const bad = countsError(caches, counts)
      if (bad !== undefined) return yield* Effect.fail(bad)
      yield* realizeIn(flight, "step")
      let settled: Settlement | undefined = undefined
      const begun = yield* Effect.fromResult(begin(flight, caches, counts, () => settled))
      const { value, kept = counts } = yield* body(begun.step)
      const wrong = keptError(counts, kept) ?? unwritten(begun.step)
      if (wrong !== undefined) return yield* Effect.fail(wrong)
      const next = caches.map((cache, i) =>
        kept[i] === 0
          ? cache
          : view(cache.arena, begun.nodes[i]!, cache.length + kept[i]!, cache.starts)
      )
      settled = { kept: new Map(begun.nodes.map((node, i) => [node, kept[i]!])), values: next }
      return { caches: next, value }
    }),
  )

/** A step that leaves a layer out would let the next one read slots that nobody wrote. */
const unwritten = ({ arena, written, rows }: Step): InvalidArgument | undefined =>
  rows.every(({ queryLen }) => queryLen === 0) || written.size === arena.layout.layers
    ? undefined
    : new InvalidArgument({
      name: "layers written by the step",
      value: written.size,
      need: `${arena.layout.layers}, every layer of the arena`,
    })
