/** Law 7: attention over any partition of a cache merges to attention over all of it. @module */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  type Attention,
  AttentionState,
  Gpu,
  KvCache,
  Program,
  Recording,
  Window,
} from "../../mod.ts"
import { capacity, layout } from "../../testing/world/configs.ts"
import { queries } from "../arbitraries/readings.ts"
import { runs } from "../arbitraries/runs.ts"
import { near, rounding } from "../../testing/world/readings.ts"
import * as Shelf from "../models/shelf.ts"

const long = { timeout: 120_000 }

const state = fc.record({
  lse: fc.oneof(fc.constant(-Infinity), fc.double({ min: -60, max: 60, noNaN: true })),
  out: fc.array(fc.double({ min: -4, max: 4, noNaN: true }), { minLength: 3, maxLength: 3 }),
})

/** Weighted means of numbers up to 4, and logarithms up to 60, in f64: a few roundings each. */
const merging = 1e-12

const same = (a: AttentionState, b: AttentionState, within: number): void => {
  near("lse", [a.lse], [b.lse], within)
  if (a.lse > -Infinity) near("out", a.out, b.out, within)
}

test("AttentionState.merge() is associative and commutative, and its identity changes nothing", () => {
  fc.assert(
    fc.property(state, state, state, (a, b, c) => {
      const { merge, empty } = AttentionState
      same(merge(merge(a, b), c), merge(a, merge(b, c)), merging)
      same(merge(a, b), merge(b, a), merging)
      assert.equal(merge(a, empty), a)
      if (a.lse > -Infinity) assert.equal(merge(empty, a), a)
      same(AttentionState.reducer.combineAll([a, b, c]), merge(merge(a, b), c), merging)
      assert.equal(AttentionState.reducer.combineAll([]), empty)
    }),
    runs(500),
  )
})

/** One query over positions `[from, to)` of a cache. */
const span = (
  shelf: Shelf.Shelf,
  cache: KvCache,
  q: Shelf.Queries,
  [from, to]: readonly [number, number],
  options: Attention.Options,
): Shelf.States => {
  const upTo = Result.getOrThrow(KvCache.truncate(cache, to))
  return Shelf.prefill(shelf, q, [7], [upTo], [1], {
    ...options,
    layer: 0,
    window: Window.last(to - from),
  })
}

test(
  "AttentionState.merge() and mergeAll() of any partition of a cache give attention over all of it",
  long,
  () => {
    fc.assert(
      fc.property(
        layout,
        fc.uniqueArray(fc.integer({ min: 1, max: capacity - 1 }), { maxLength: 6 }),
        fc.integer({ min: 1, max: capacity }),
        fc.option(fc.constantFrom(3, 50), { nil: undefined }),
        fc.func(fc.nat()),
        (layout, cuts, length, softCap, rank) => {
          const shelf = Shelf.make(layout)
          const options = softCap === undefined ? {} : { softCap }
          const cache = Shelf.cacheOf(shelf, Array.from({ length }, (_, i) => i))
          const q = queries(layout, 1)
          const ends = [...cuts.filter((n) => n < length).sort((a, b) => a - b), length]
          const parts = ends.map((to, i) => [ends[i - 1] ?? 0, to] as const)
            .sort((a, b) => rank(a[0]) - rank(b[0])) // in any order
            .map((part) => span(shelf, cache, q, part, options))
          const whole = span(shelf, cache, q, [0, length], options)
          const heads = whole.lse.length
          const dim = whole.out.length / heads
          for (let h = 0; h < heads; h++) {
            const at = ({ out, lse }: Shelf.States): AttentionState => ({
              lse: lse[h]!,
              out: [...out.slice(h * dim, (h + 1) * dim)],
            })
            same(AttentionState.reducer.combineAll(parts.map(at)), at(whole), 4 * rounding)
          }
          const merged = Shelf.run(
            shelf,
            Effect.gen(function* () {
              const outs = parts.flatMap(({ out }) => [...out])
              const lses = parts.flatMap(({ lse }) => [...lse])
              const n = parts.length
              const states = yield* Program.run(Effect.suspend(() =>
                AttentionState.mergeAll(
                  Recording.fresh(
                    "f32",
                    "parts tokens numQHeads valueDim",
                    [n, 1, heads, dim],
                    Float32Array.from(outs),
                  ),
                  Recording.fresh(
                    "f32",
                    "parts tokens numQHeads",
                    [n, 1, heads],
                    Float32Array.from(lses),
                  ),
                )
              ))
              return { out: yield* Gpu.read(states.out), lse: yield* Gpu.read(states.lse) }
            }),
          )
          near("out", merged.out, whole.out, 4 * rounding)
          near("lse", merged.lse, whole.lse, 4 * rounding)
          Shelf.end(shelf)
        },
      ),
      runs(100),
    )
  },
)
