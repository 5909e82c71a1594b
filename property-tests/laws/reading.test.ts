/** Laws 6, 7, 8 and 9: what reading gives depends on the tokens only. @module */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import process from "node:process"
import {
  Attention,
  AttentionState,
  Gpu,
  KvCache,
  type Layout,
  Lease,
  Program,
  Recording,
  Window,
} from "../../mod.ts"
import { capacity, layout } from "../arbitraries/layouts.ts"
import {
  layouts,
  queries,
  type Question,
  question,
  type Sequence,
} from "../arbitraries/readings.ts"
import { rounding, rowsOf } from "../models/readings.ts"
import * as Shelf from "../models/shelf.ts"

const { RUNS, FC_SEED } = process.env
const runs = (share: number) => ({
  numRuns: Math.ceil(Number(RUNS ?? 100) * share),
  ...(FC_SEED === undefined ? {} : { seed: Number(FC_SEED) }),
})
const long = { timeout: 120_000 }

/**
 * How far outputs may lie from the f64 oracle. The rows are exact in every storage and the twins sum in f64:
 * what is left is the rounding of the result.
 */
const tolerance: { readonly [D in Layout.Storage]: number } = {
  f32: rounding,
  f16: rounding,
  bf16: rounding,
}

const near = (
  name: string,
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  within: number,
): void => {
  assert.equal(got.length, want.length, name)
  for (let i = 0; i < want.length; i++) {
    const same = Math.abs(got[i]! - want[i]!) <= within || got[i] === want[i]
    if (!same) assert.fail(`${name}: [${i}] is ${got[i]}, not ${want[i]}`)
  }
}

/** Row numbers of a sequence's queries. */
const asking = ({ ids, count }: Sequence) => ids.slice(ids.length - count)

const ask = (
  shelf: Shelf.Shelf,
  { options, share, sequences }: Question,
  layer: number,
  caches: ReadonlyArray<KvCache>,
): Shelf.States => {
  const q = queries(shelf.world.config.layout, share)
  const counts = sequences.map(({ count }) => count)
  return Shelf.prefill(shelf, q, sequences.flatMap(asking), caches, counts, { ...options, layer })
}

/** The oracle's answer. */
const dense = (
  layout: Layout,
  { options, share }: Question,
  layer: number,
  sequence: Sequence,
): Attention.DenseOutput =>
  Attention.dense({
    q: queries(layout, share).of(asking(sequence)),
    k: rowsOf(layout, sequence.ids, layer, "keys"),
    v: rowsOf(layout, sequence.ids, layer, "values"),
    queryLen: sequence.count,
    contextLen: sequence.ids.length,
    numQHeads: queries(layout, share).numQHeads,
    keyHeads: layout.keyHeads,
    valueHeads: layout.valueHeads,
    keyDim: layout.keyDim,
    valueDim: layout.valueDim,
  }, options)

test(
  "Attention.prefill() and KvCache.gather() agree over every layout, and with the dense oracle",
  long,
  () => {
    fc.assert(
      fc.property(layouts, question(4), (layouts, question) => {
        let first: { gathered: unknown; states: ReadonlyArray<Shelf.States> } | undefined
        for (const layout of layouts) {
          const shelf = Shelf.make(layout)
          const caches = question.sequences.map(({ ids, cuts }) => Shelf.cacheOf(shelf, ids, cuts))
          const gathered = caches.map((cache) => Shelf.gather(shelf, cache))
          const { layout: made } = shelf.world.arena
          const layers = Array.from({ length: made.layers }, (_, layer) => layer)
          const states = layers.map((layer) => ask(shelf, question, layer, caches))
          for (const [layer, { out, lse }] of states.entries()) {
            const want = question.sequences.map((one) => dense(made, question, layer, one))
            const within = tolerance[made.dtype]
            near("out", out, want.flatMap((one) => [...one.out]), within)
            near("lse", lse, want.flatMap((one) => [...one.lse]), within)
          }
          first ??= { gathered, states }
          assert.deepEqual({ gathered, states }, first, "bitwise as over the contiguous layout")
          Shelf.end(shelf)
        }
      }),
      runs(1),
    )
  },
)

test("Attention.prefill() gives a row the same bits alone and in any batch", long, () => {
  fc.assert(
    fc.property(layout, question(5), (layout, question) => {
      const shelf = Shelf.make(layout)
      const caches = question.sequences.map(({ ids }) => Shelf.cacheOf(shelf, ids))
      const together = ask(shelf, question, 0, caches)
      const alone = question.sequences.map((one, i) =>
        ask(shelf, { ...question, sequences: [one] }, 0, [caches[i]!])
      )
      assert.deepEqual([...together.out], alone.flatMap(({ out }) => [...out]))
      assert.deepEqual([...together.lse], alone.flatMap(({ lse }) => [...lse]))
      Shelf.end(shelf)
    }),
    runs(1),
  )
})

test(
  "KvCache.step() in chunks and in any batch gives the bits of one prefill of one row",
  long,
  () => {
    fc.assert(
      fc.property(layout, question(3), (layout, { sequences, options, share }) => {
        const shelf = Shelf.make(layout)
        const empty = KvCache.empty(shelf.world.arena)
        const q = queries(layout, share)
        const whole = sequences.map(({ ids }) => Shelf.step(shelf, [empty], [ids], q, options))
        const parts = sequences.map((): Array<ReadonlyArray<Shelf.States>> => [])
        const stops = sequences.map((
          { ids, cuts },
        ) => [...cuts.map((n) => Math.min(n, ids.length)).sort((a, b) => a - b), ids.length])
        let caches: ReadonlyArray<KvCache> = sequences.map(() => empty)
        const chunks = Math.max(...stops.map((ends) => ends.length))
        const width = q.numQHeads
        for (let chunk = 0; chunk < chunks; chunk++) {
          const made = sequences.map(({ ids }, i) =>
            ids.slice(caches[i]!.length, stops[i]![chunk] ?? ids.length)
          )
          const stepped = Shelf.step(shelf, caches, made, q, options)
          let token = 0
          for (const [i, ids] of made.entries()) {
            const end = token + ids.length
            parts[i]!.push(stepped.layers.map(({ out, lse }) => {
              const dim = lse.length === 0 ? 0 : out.length / lse.length
              return {
                out: out.slice(token * width * dim, end * width * dim),
                lse: lse.slice(token * width, end * width),
              }
            }))
            token = end
          }
          caches = stepped.caches
        }
        for (const [i, { layers }] of whole.entries()) {
          for (const [layer, { out, lse }] of layers.entries()) {
            assert.deepEqual(parts[i]!.flatMap((part) => [...part[layer]!.out]), [...out])
            assert.deepEqual(parts[i]!.flatMap((part) => [...part[layer]!.lse]), [...lse])
          }
          assert.deepEqual(
            Shelf.gather(shelf, caches[i]!),
            Shelf.gather(shelf, whole[i]!.caches[0]!),
          )
        }
        Shelf.end(shelf)
      }),
      runs(1),
    )
  },
)

test(
  "Attention.prefill() is not changed by positions its window cannot see, dropped and recycled",
  long,
  () => {
    fc.assert(
      fc.property(layout, question(3), (layout, question) => {
        const shelf = Shelf.make(layout)
        const caches = question.sequences.map(({ ids }) => Shelf.cacheOf(shelf, ids))
        const before = ask(shelf, question, 0, caches)
        const { groups } = shelf.world.arena.layout
        const group = groups.findIndex(({ layers }) => layers.includes(0))
        const dropped = caches.map((cache, i) => {
          const { count } = question.sequences[i]!
          const needed = Window.lowest(question.options.window, cache.length - count)
          return Result.getOrThrow(KvCache.dropBefore(cache, needed, group))
        })
        Shelf.run(shelf, Lease.keep(dropped))
        assert.deepEqual(ask(shelf, question, 0, dropped), before)
        Shelf.end(shelf)
      }),
      runs(0.5),
    )
  },
)

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
    runs(5),
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
      runs(1),
    )
  },
)
