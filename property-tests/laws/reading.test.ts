/** Laws 6, 8 and 9: what reading gives depends on the tokens only. @module */
import { Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Attention, KvCache, type Layout, Lease, Window } from "../../mod.ts"
import { layout } from "../../testing/world/configs.ts"
import {
  layouts,
  queries,
  type Question,
  question,
  type Sequence,
} from "../arbitraries/readings.ts"
import { runs } from "../arbitraries/runs.ts"
import { near, rounding, rowsOf } from "../../testing/world/readings.ts"
import * as Shelf from "../models/shelf.ts"

const long = { timeout: 120_000 }

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
            near("out", out, want.flatMap((one) => [...one.out]), rounding)
            near("lse", lse, want.flatMap((one) => [...one.lse]), rounding)
          }
          first ??= { gathered, states }
          assert.deepEqual({ gathered, states }, first, "bitwise as over the contiguous layout")
          Shelf.end(shelf)
        }
      }),
      runs(100),
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
    runs(100),
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
      runs(100),
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
      runs(50),
    )
  },
)

test(
  "KvCache.step() and Attention.prefill() do not depend on memory that nobody sees",
  long,
  () => {
    fc.assert(
      fc.property(layout, question(3), (layout, question) => {
        const [one, other] = (["nan", "low"] as const).map((poison) => {
          const shelf = Shelf.make(layout, poison)
          const caches = question.sequences.map(({ ids }) => Shelf.cacheOf(shelf, ids))
          const made = question.sequences.map(({ ids }) => ids.slice(0, 24 - ids.length))
          const q = queries(layout, question.share)
          const stepped = Shelf.step(shelf, caches, made, q, question.options)
          const states = ask(shelf, question, 0, caches)
          const gathered = stepped.caches.map((cache) => Shelf.gather(shelf, cache))
          Shelf.end(shelf)
          return { layers: stepped.layers, states, gathered }
        })
        assert.deepEqual(one, other)
      }),
      runs(50),
    )
  },
)
