/**
 * Attention over caches, inside a recording. Grouped queries, causal at offset `cachedLen`, windows, sinks,
 * soft cap; outputs come with their log-sum-exp, so that they merge.
 *
 * @module
 */
import { Effect, Result } from "effect"
import type { Arena } from "../cache/Arena.ts"
import type * as Batch from "../cache/Batch.ts"
import { during, type Needs } from "../cache/Flight.ts"
import * as Layout from "../cache/Layout.ts"
import { tablesOf } from "../cache/Plan.ts"
import { type RealizeError, realizeIn } from "../cache/Realize.ts"
import { type Step, upload, writeLayer } from "../cache/Step.ts"
import type { KvCache } from "../cache/value.ts"
import { InvalidArgument, type ShapeMismatch } from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import type { Tensor } from "../tensor/value.ts"
import { rename } from "../tensor/views.ts"
import type { States } from "./AttentionState.ts"
import { launch } from "./launch.ts"
import * as Window from "./Window.ts"

export { dense, type DenseInput, type DenseOptions, type DenseOutput } from "./dense.ts"

/** What changes the mathematics; each has the default of the field. */
export interface Options {
  /** Default: the window of the layer's group. */
  readonly window?: Window.Window
  /** Multiplies every score. Default `1 / √keyDim`. */
  readonly scale?: number
  /** `cap · tanh(score / cap)`, after the scale. Default: none. */
  readonly softCap?: number
}

/** Options of a read: which layer's keys and values. */
export interface ReadOptions extends Options {
  /** Needed unless the arena has one layer. */
  readonly layer?: number
}

/** What attention may fail with besides placing the caches. */
export type AttendError = ShapeMismatch | InvalidArgument

const optionsError = (options: Options): InvalidArgument | undefined => {
  const { scale, softCap, window } = options
  if (scale !== undefined && !Number.isFinite(scale)) {
    return new InvalidArgument({ name: "scale", value: scale, need: "a finite number" })
  }
  if (softCap !== undefined && !(Number.isFinite(softCap) && softCap > 0)) {
    return new InvalidArgument({ name: "softCap", value: softCap, need: "a finite number above 0" })
  }
  for (
    const [name, value, least] of [["last", window?.last, 1], ["sinks", window?.sinks, 0]] as const
  ) {
    if (value === undefined || (Number.isSafeInteger(value) && value >= least)) continue
    const need = `a whole number, at least ${least}`
    return new InvalidArgument({ name: `window.${name}`, value, need })
  }
}

const layerError = (arena: Arena, layer: number): InvalidArgument | undefined =>
  Number.isSafeInteger(layer) && layer >= 0 && layer < arena.layout.layers
    ? undefined
    : new InvalidArgument({
      name: "layer",
      value: Number.isNaN(layer) ? "nothing" : layer,
      need: `a layer from 0 to ${arena.layout.layers - 1}`,
    })

const queriesError = (
  caches: ReadonlyArray<KvCache>,
  counts: ReadonlyArray<number>,
): InvalidArgument | undefined => {
  if (counts.length !== caches.length) {
    const need = `${caches.length} numbers, one for each cache`
    return new InvalidArgument({ name: "counts", value: counts.join(" "), need })
  }
  for (const [i, { length }] of caches.entries()) {
    const value = counts[i]!
    if (Number.isSafeInteger(value) && value >= 0 && value <= length) continue
    const need = `a whole number from 0 to ${length}, the length of the cache`
    return new InvalidArgument({ name: `queries of cache ${i}`, value, need })
  }
}

/** A window is never silently shorter than asked for: every position it needs must still be there. */
const goneError = (
  window: Window.Window,
  rows: ReadonlyArray<Batch.Row>,
  group: number,
): InvalidArgument | undefined => {
  for (const { starts, cachedLen, queryLen } of rows) {
    if (queryLen === 0) continue
    const needed = Window.lowest(window, cachedLen)
    if (starts[group]! <= needed) continue
    const need = `at most ${needed}, the first position that the window needs`
    return new InvalidArgument({ name: "the first position kept", value: starts[group]!, need })
  }
}

const groupWindow = (arena: Arena, group: number): Window.Window => {
  const { window } = arena.layout.groups[group]!
  return window === undefined ? Window.all : Window.last(window)
}

/**
 * Inside a step: writes this layer's new keys and values into the claimed slots, then every new token attends
 * to what its own sequence holds up to and including itself.
 *
 * - `q` `[tokens, numQHeads, headDim]`, `k` `[tokens, keyHeads, headDim]`, `v` `[tokens, valueHeads, valueDim]`,
 *   the tokens of all rows one after another
 * - reads `contextLen · (keyHeads · keyDim + valueHeads · valueDim)` elements a row and query group
 */
export const attend = (
  step: Step,
  layer: number,
  { q, k, v }: {
    readonly q: Tensor<"f32", "tokens numQHeads headDim">
    readonly k: Tensor<"f32", "tokens keyHeads headDim">
    readonly v: Tensor<"f32", "tokens valueHeads valueDim">
  },
  options: Options = {},
): Effect.Effect<States, AttendError, Recording.Recording> =>
  Recording.op((rec): Result.Result<States, AttendError> => {
    const { arena, groups, rows } = step
    const bad = optionsError(options) ?? layerError(arena, layer)
    if (bad !== undefined) return Result.fail(bad)
    const group = Layout.groupOf(arena.layout, layer)
    const { window = groupWindow(arena, group), scale, softCap } = options
    const gone = goneError(window, rows, group)
    if (gone !== undefined) return Result.fail(gone)
    return Result.flatMap(
      writeLayer(rec, step, layer, k, v),
      () => launch(rec, arena, groups[group]!, q, { layer, window, scale, softCap }),
    )
  })

/**
 * `counts[i]` queries over each cache, as it is: the last query of a row stands at the cache's last token, the
 * ones before it one position earlier each. Realises the caches first.
 *
 * - `q` `[tokens, numQHeads, headDim]`, the queries of all rows one after another
 */
export const prefill = (
  q: Tensor<"f32", "tokens numQHeads headDim">,
  caches: ReadonlyArray<KvCache>,
  counts: ReadonlyArray<number>,
  options: ReadOptions = {},
): Effect.Effect<States, AttendError | RealizeError, Needs> =>
  during(
    "attend to caches",
    caches,
    Effect.fnUntraced(function* (flight) {
      const { arena } = flight.lease
      const layer = options.layer ?? (arena.layout.layers === 1 ? 0 : NaN)
      const bad = optionsError(options) ?? layerError(arena, layer) ?? queriesError(caches, counts)
      if (bad !== undefined) return yield* Effect.fail(bad)
      yield* realizeIn(flight, "attend to caches")
      const group = Layout.groupOf(arena.layout, layer)
      const { window = groupWindow(arena, group), scale, softCap } = options
      const rows = caches.map((cache, i): Batch.Row => ({
        tables: tablesOf(cache.node)!,
        starts: cache.starts,
        cachedLen: cache.length - counts[i]!,
        queryLen: counts[i]!,
      }))
      const gone = goneError(window, rows, group)
      if (gone !== undefined) return yield* Effect.fail(gone)
      const rec = yield* Recording.Service
      const { groups } = upload(arena, rows)
      return yield* Effect.fromResult(
        launch(rec, arena, groups[group]!, q, { layer, window, scale, softCap }),
      )
    }),
  )

/**
 * One query a cache, standing at the cache's last token: `q` `[batch, numQHeads, headDim]`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Attention, type KvCache, Program, type Tensor, Window } from "@kvasir/kvasir"
 * const answer = (q: Tensor<"f32", "batch numQHeads headDim">, caches: ReadonlyArray<KvCache>) =>
 *   Program.run(Attention.decode(q, caches, { window: Window.last(512) })).pipe(
 *     Effect.map(({ out }) => out),
 *   )
 * ```
 */
export const decode = (
  q: Tensor<"f32", "batch numQHeads headDim">,
  caches: ReadonlyArray<KvCache>,
  options: ReadOptions = {},
): Effect.Effect<States, AttendError | RealizeError, Needs> =>
  prefill(rename(q, "batch", "tokens"), caches, caches.map(() => 1), options)
