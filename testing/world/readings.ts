/**
 * What an effect on caches reads, beside what the naive model says it must read.
 *
 * @module
 */
import { Effect } from "effect"
import assert from "node:assert/strict"
import { Attention, type DType, KvCache, type Layout, Recording, Window } from "../../mod.ts"
import type { Lease, Tensor } from "../../mod.ts"
import * as Laws from "../laws.ts"
import { element, givenRow, kinds, rowOf } from "./storage.ts"

/** A cache, and the row numbers it was made of, by position; positions before `starts` are unseen. */
export interface Value {
  readonly cache: KvCache
  readonly rows: ReadonlyArray<number>
}

/** A tensor, and what it must hold. */
export interface Reading {
  readonly name: string
  readonly tensor: Tensor<DType.DType, string>
  readonly want: ReadonlyArray<number>
  /** Allowed distance: 0 is exact. */
  readonly within: number
}

/** An effect on caches, and what it reads. */
export type Reads<E> = Effect.Effect<
  ReadonlyArray<Reading>,
  E,
  Lease | Recording | Recording.Transaction
>

/** Where two lists of numbers differ by more than this, or undefined. */
export const difference = (
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  within: number,
): string | undefined => {
  if (got.length !== want.length) return `${got.length} numbers, not ${want.length}`
  for (let i = 0; i < want.length; i++) {
    // Not "farther than": what is not a number is far from everything.
    const same = Math.abs(got[i]! - want[i]!) <= within || got[i] === want[i]
    if (!same) return `[${i}] is ${got[i]}, not ${want[i]}`
  }
}

/** Numbers must be equal, or this near. */
export const near = (
  name: string,
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  within: number,
): void => {
  const other = difference(got, want, within)
  if (other !== undefined) assert.fail(`${name}: ${other}`)
}

/** Compares what was read in a world with the oracle. */
export const verify = (
  { tally, slack }: { readonly tally: Laws.Tally; readonly slack: number },
  { name, want, within }: Reading,
  got: ArrayLike<number>,
): void => {
  const other = difference(got, want, Math.max(within, slack))
  Laws.must(tally, "oneOracle", other === undefined, () => `${name}: ${other}`)
}

/** Rows `[tokens, heads, dim]` of one layer, as the arena holds them. */
export const rowsOf = (
  layout: Layout,
  ids: ReadonlyArray<number>,
  layer: number,
  kind: Layout.Kind,
): ReadonlyArray<number> => ids.flatMap((row) => rowOf(layout, row, layer, kind))

/** `KvCache.gather`, and the rows every layer still sees. */
export const gather = ({ cache, rows }: Value): Reads<KvCache.RealizeError> =>
  Effect.map(KvCache.gather(cache), (got): ReadonlyArray<Reading> => {
    const { layout } = cache.arena
    const seen = rows.slice(Math.max(...cache.starts), cache.length)
    return kinds.map((kind) => ({
      name: `gather of ${kind}`,
      tensor: got[kind],
      want: Array.from({ length: layout.layers }, (_, l) => rowsOf(layout, seen, l, kind)).flat(),
      within: 0,
    }))
  })

/**
 * Reads every visible position of a group exactly, by attention: a query that sees only itself gives its own
 * value, and a unit vector as query gives one element of its key as log-sum-exp.
 */
export const read = (
  { cache, rows }: Value,
  group: number,
): Reads<KvCache.RealizeError | Attention.AttendError> => {
  const { layout } = cache.arena
  const { keyHeads, keyDim, valueHeads, valueDim } = layout
  const seen = rows.slice(cache.starts[group]!, cache.length)
  const heads = Array.from({ length: keyHeads * valueHeads * keyDim }, (_, h) => h)
  const unit = heads.flatMap((h) =>
    Array.from({ length: keyDim }, (_, d) => h % keyDim === d ? 1 : 0)
  )
  const q = Recording.fresh(
    "f32",
    "tokens numQHeads headDim",
    [seen.length, heads.length, keyDim],
    Float32Array.from(seen.flatMap(() => unit)),
  )
  const headOf = (h: number, of: number) => Math.floor(h * of / heads.length)
  return Effect.map(
    Effect.forEach(layout.groups[group]!.layers, (layer) =>
      Effect.map(
        Attention.prefill(q, [cache], [seen.length], { layer, window: Window.last(1), scale: 1 }),
        ({ out, lse }): ReadonlyArray<Reading> => {
          const values = (row: number) => {
            const held = rowOf(layout, row, layer, "values")
            return heads.flatMap((h) => {
              const at = headOf(h, valueHeads) * valueDim
              return held.slice(at, at + valueDim)
            })
          }
          const keys = (row: number) => {
            const held = rowOf(layout, row, layer, "keys")
            return heads.map((h) => held[headOf(h, keyHeads) * keyDim + h % keyDim]!)
          }
          return [
            {
              name: `values of layer ${layer}`,
              tensor: out,
              want: seen.flatMap(values),
              within: 0,
            },
            { name: `keys of layer ${layer}`, tensor: lse, want: seen.flatMap(keys), within: 0 },
          ]
        },
      )),
    (all) => all.flat(),
  )
}

/** One query a row. */
export const queries = (layout: Layout, ids: ReadonlyArray<number>): ReadonlyArray<number> =>
  ids.flatMap((row) =>
    Array.from(
      { length: layout.keyHeads * layout.valueHeads * layout.keyDim },
      (_, i) => element(row, 99, "keys", Math.floor(i / 64), i % 64),
    )
  )

/**
 * Distance of the CPU's outputs from the f64 oracle over the rows that the arena holds. They are numbers of f32
 * in every storage and the twin sums in f64, so it is one rounding to f32 of numbers below 32.
 */
export const rounding: number = 32 * 2 ** -24

/** Inside a step: writes these rows in one layer and attends to all that may be seen. */
export const attend = (
  step: KvCache.Step,
  layer: number,
  values: ReadonlyArray<Value>,
  made: ReadonlyArray<ReadonlyArray<number>>,
): Effect.Effect<ReadonlyArray<Reading>, Attention.AttendError, Recording> => {
  const { layout } = step.arena
  const { keyHeads, valueHeads, keyDim, valueDim } = layout
  const numQHeads = keyHeads * valueHeads
  const ids = made.flat()
  const group = layout.groups.findIndex(({ layers }) => layers.includes(layer))
  const used = values.filter((_, i) => made[i]!.length > 0).map(({ cache }) => cache)
  const whole = used.every(({ starts }) => starts[group] === 0)
  // As wide as the row that dropped most allows.
  const narrow = Math.min(...used.map(({ length, starts }) => length - starts[group]! + 1))
  const window = whole ? Window.all : Window.last(narrow)
  const n = ids.length
  const rows = (kind: Layout.Kind) =>
    Float32Array.from(ids.flatMap((row) => givenRow(layout, row, layer, kind)))
  const q = Float32Array.from(queries(layout, ids))
  const fed = {
    q: Recording.fresh("f32", "tokens numQHeads headDim", [n, numQHeads, keyDim], q),
    k: Recording.fresh("f32", "tokens keyHeads headDim", [n, keyHeads, keyDim], rows("keys")),
    v: Recording.fresh(
      "f32",
      "tokens valueHeads valueDim",
      [n, valueHeads, valueDim],
      rows("values"),
    ),
  }
  return Effect.map(
    Attention.attend(step, layer, fed, { window }),
    ({ out, lse }): ReadonlyArray<Reading> => {
      const dense = values.map(({ cache, rows }, i) => {
        const context = [...rows.slice(0, cache.length), ...made[i]!]
        return Attention.dense({
          q: queries(layout, made[i]!),
          k: rowsOf(layout, context, layer, "keys"),
          v: rowsOf(layout, context, layer, "values"),
          queryLen: made[i]!.length,
          contextLen: context.length,
          ...{ numQHeads, keyHeads, valueHeads, keyDim, valueDim },
        }, { window })
      })
      const all = (name: "out" | "lse", tensor: Reading["tensor"]): Reading => ({
        name: `step's ${name} of layer ${layer}`,
        tensor,
        want: dense.flatMap((one) => [...one[name]]),
        within: rounding,
      })
      return [all("out", out), all("lse", lse)]
    },
  )
}
