/**
 * Attention over caches, inside a recording. Grouped queries, causal at offset `cachedLen`, windows, sinks,
 * soft cap; outputs come with their log-sum-exp, so that they merge.
 *
 * @module
 */
import { Effect, Result } from "effect"
import { during, type Needs } from "../cache/Flight.ts"
import * as Layout from "../cache/Layout.ts"
import { tablesOf } from "../cache/Plan.ts"
import { type RealizeError, realizeIn } from "../cache/Realize.ts"
import { type Step, writeLayer } from "../cache/Step.ts"
import type { KvCache } from "../cache/value.ts"
import { InvalidArgument } from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import type { Tensor } from "../tensor/value.ts"
import { rename } from "../tensor/views.ts"
import type { States } from "./AttentionState.ts"
import { launch, sourceOf } from "./launch.ts"
import {
  type AttendError,
  goneError,
  groupWindow,
  layerError,
  type Options,
  optionsError,
  type ReadOptions,
} from "./options.ts"
import { overTo, type Placed } from "./over.ts"
import * as Window from "./Window.ts"

export { attendPages, type PagedRow } from "./pages.ts"
export type { Mask } from "./Mask.ts"
export type { AttendError, Options, ReadOptions } from "./options.ts"
export { dense, type DenseInput, type DenseOptions, type DenseOutput } from "./dense.ts"

const countsError = (
  caches: ReadonlyArray<KvCache>,
  counts: ReadonlyArray<number>,
): InvalidArgument | undefined => {
  if (counts.length !== caches.length) {
    const need = `${caches.length} numbers, one for each cache`
    return new InvalidArgument({ name: "counts", value: counts.join(" "), need })
  }
  for (const [i, value] of counts.entries()) {
    if (Number.isSafeInteger(value) && value >= 0) continue
    const need = "a whole number, at least 0"
    return new InvalidArgument({ name: `queries of cache ${i}`, value, need })
  }
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
    const needed = rows.map(({ cachedLen, queryLen }) =>
      queryLen === 0 ? Infinity : Window.lowest(window, cachedLen)
    )
    const gone = goneError(needed, rows.map(({ starts }) => starts[group]!))
    if (gone !== undefined) return Result.fail(gone)
    return Result.flatMap(
      writeLayer(rec, step, layer, k, v),
      () => launch(rec, sourceOf(arena, layer), groups[group]!, q, { window, scale, softCap }),
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
      const bad = countsError(caches, counts)
      if (bad !== undefined) return yield* Effect.fail(bad)
      yield* realizeIn(flight, "attend to caches")
      const rows = caches.map((cache, i): Placed => ({
        tables: tablesOf(cache.node)!,
        starts: cache.starts,
        contextLen: cache.length,
        queryLen: counts[i]!,
      }))
      const rec = yield* Recording.Service
      return yield* Effect.fromResult(overTo(rec, arena, rows, q, options))
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
