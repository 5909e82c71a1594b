/** Placing caches. @module */
import { type Effect, Result } from "effect"
import { append as appendKernels } from "../../kernels/append.ts"
import type { OutOfBlocks, ShapeMismatch } from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import * as Tensor from "../tensor/Tensor.ts"
import { address } from "./address.ts"
import type { Arena } from "./Arena.ts"
import { type CheckError, during, type Flight, type Needs, place } from "./Flight.ts"
import * as Layout from "./Layout.ts"
import type { Plan } from "./Plan.ts"
import type { AnyRows, KvCache } from "./value.ts"

/** What placing may fail with; nothing has changed then. */
export type RealizeError = CheckError | OutOfBlocks | ShapeMismatch

const halves: ReadonlyArray<Layout.Kind> = ["keys", "values"]

/** The tensors of rows, and which halves of the cache they are. */
const parts = (
  rows: AnyRows,
): ReadonlyArray<
  readonly [kinds: ReadonlyArray<Layout.Kind>, given: Tensor.Tensor<Layout.Given, string>]
> =>
  "combined" in rows
    ? [[halves, rows.combined]]
    : "latent" in rows
    ? [[["keys"], rows.latent]]
    : halves.map((kind) => [[kind], rows[kind]] as const)

/** (source, destination) pairs as a tensor. */
const pairs = (flat: ReadonlyArray<number> | Uint32Array): Tensor.Tensor<"u32", "entries pair"> =>
  Recording.fresh("u32", "entries pair", [flat.length / 2, 2], Uint32Array.from(flat))

/**
 * Records one launch that writes rows of one layer: `entries` are (row, slot), `copies` are (slot, slot).
 * `rows` is f32 `[…, heads, dim]`, rows of this layer begin at `rowBase`. Keys and values that interleave can be
 * written by one launch: a slot's heads lie one after another, key, value, key, value.
 */
export const writeTo = (
  rec: Recording.Open,
  arena: Arena,
  layer: number,
  kinds: ReadonlyArray<Layout.Kind>,
  rows: Tensor.Tensor<"f32", string>,
  rowBase: number,
  entries: Tensor.Tensor<"u32", string>,
  copies: Tensor.Tensor<"u32", string>,
): Result.Result<void, ShapeMismatch> => {
  const { pool, params } = address(arena, layer, kinds[0]!)
  const headStride = params.headStride / kinds.length
  return Result.map(
    Recording.launchTo(rec, appendKernels[arena.layout.dtype], {
      reads: { rows, entries, copies, pool },
      writes: {},
      params: { rowBase, ...params, headStride },
      overrides: { WG: 64 },
    }),
    () => undefined,
  )
}

/** No pairs. */
export const none = (): Tensor.Tensor<"u32", "entries pair"> => pairs([])

/**
 * Records what a plan owes the device: carried slots, and rows from the values that own them. Plain, so that a
 * claim and its work are one tick: no other fiber can send the recording in between.
 */
export const recordTo = (
  rec: Recording.Open,
  arena: Arena,
  work: Plan["work"],
): Result.Result<void, ShapeMismatch> =>
  Result.gen(function* () {
    const widened = new Map<Tensor.Any, Tensor.Tensor<"f32", string>>()
    for (const [group, { copies, writes }] of work.entries()) {
      const { layers } = arena.layout.groups[group]!
      const empty = none()
      // Halves that are carried go with the first rows of their kind.
      const own = arena.layout.placement === "latent" ? (["keys"] as const) : halves
      const carried = new Map<Layout.Kind, Tensor.Tensor<"u32", "entries pair">>(
        own.map((kind) => [kind, pairs(copies)]),
      )
      const carry = (kinds: ReadonlyArray<Layout.Kind>) => {
        if (!kinds.every((kind) => carried.has(kind))) return empty
        const [found] = kinds.map((kind) => carried.get(kind)!)
        for (const kind of kinds) carried.delete(kind)
        return found!
      }
      for (const [rows, entries] of writes) {
        const placed = pairs(entries)
        for (const [kinds, given] of parts(rows)) {
          const wide = widened.get(given) ?? (yield* Tensor.castTo(rec, given, "f32"))
          widened.set(given, wide)
          const also = carry(kinds)
          for (const layer of layers) {
            yield* writeTo(rec, arena, layer, kinds, wide, layer * given.shape[1]!, placed, also)
          }
        }
      }
      if (copies.length === 0) continue
      for (const [kind, copied] of carried) {
        const { heads, dim } = Layout.half(arena.layout, kind)
        const nothing = Recording.fresh("f32", "tokens heads dim", [0, heads, dim])
        for (const layer of layers) {
          yield* writeTo(rec, arena, layer, [kind], nothing, 0, empty, copied)
        }
      }
    }
  })

/** Places these values inside a flight that is already open. */
export const realizeIn = (flight: Flight, doing: string): Effect.Effect<void, RealizeError> =>
  place(flight, doing, (work) => recordTo(flight.transaction, flight.lease.arena, work))

/**
 * Places and writes what the values still owe, for any number of sequences, all or nothing, and makes the
 * lease hold them. Idempotent: with nothing owed it only makes the lease a co-owner (which is how another
 * request's prefix is shared: references, no bytes). O(rows + blocks touched).
 */
export const realize = (
  caches: ReadonlyArray<KvCache>,
): Effect.Effect<void, RealizeError, Needs> =>
  during("realise caches", caches, (flight) => realizeIn(flight, "realise caches"))
