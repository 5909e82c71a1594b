/** Laws 1, 6, 8 and 9 for `TransformerCache`, against lists of row numbers. */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  Attention,
  type AttnMaskDetail,
  Gpu,
  type Layout,
  Program,
  Recording,
  TransformerCacheView,
  Window,
} from "../../mod.ts"
import { queries } from "../arbitraries/readings.ts"
import { detail, program, sequenceLength, sizes } from "../arbitraries/transformer.ts"
import { near, rounding, rowsOf } from "../../testing/world/readings.ts"
import * as Shelf from "../models/shelf.ts"
import {
  fresh,
  metadataOf,
  played,
  type Row,
  upload,
  windowOf,
} from "../models/transformer_play.ts"
import * as World from "../../testing/world/world.ts"

const sees = (one: AttnMaskDetail | undefined): Attention.DenseOptions => {
  const last = one?.maskType === "FULL" ? undefined : one?.size
  return {
    window: last === undefined ? Window.all : Window.last(last),
    ...(one?.maskType === "CHUNK" && { chunk: one.chunks!, chunkOffset: one.offset ?? 0 }),
  }
}

const checkDense = (
  shelf: Shelf.Shelf,
  view: TransformerCacheView,
  rows: ReadonlyArray<Row>,
  layer: number,
): void => {
  const { layout } = shelf.world.arena
  const window = windowOf(view.maskingDetails)
  const room = Math.min(sequenceLength, window ?? Infinity)
  const [keys, values, positions] = Shelf.run(
    shelf,
    Effect.gen(function* () {
      const dense = yield* Program.run(TransformerCacheView.materialize(view))
      return [yield* Gpu.read(dense.keys), yield* Gpu.read(dense.values), dense.positions] as const
    }),
  )
  const places = rows.flatMap(({ ids, kept }) => {
    const from = Math.max(kept, window === undefined ? 0 : ids.length - window)
    const before = window === undefined ? from : 0
    const live = Array.from({ length: ids.length - from }, (_, i) => from + i)
    const padded = [...new Array<number>(before).fill(-1), ...live]
    return [...padded, ...new Array<number>(room - padded.length).fill(-1)]
  })
  assert.deepEqual([...positions], places, `places of layer ${layer}`)
  for (const [kind, got] of [["keys", keys], ["values", values]] as const) {
    const width = got.length / places.length
    const want = places.flatMap((position, i) =>
      position < 0
        ? new Array<number>(width).fill(0)
        : rowsOf(layout, [rows[Math.floor(i / room)]!.ids[position]!], 0, kind)
    )
    near(`${kind} of layer ${layer}`, got, want, 0)
  }
}

const ask = (
  shelf: Shelf.Shelf,
  view: TransformerCacheView,
  asked: ReadonlyArray<ReadonlyArray<number>>,
  layout: Layout.Options,
) => {
  const { of, numQHeads } = queries(layout, 1)
  const shape = [asked.length, asked[0]!.length, numQHeads, layout.keyDim]
  const data = Float32Array.from(of(asked.flat()))
  const query = Recording.fresh("f32", "batch tokens numQHeads headDim", shape, data)
  return Shelf.run(
    shelf,
    Effect.result(Effect.flatMap(
      Program.run(TransformerCacheView.attend(query, view)),
      ({ out }) => Gpu.read(out),
    )),
  )
}

const checkAttention = (
  shelf: Shelf.Shelf,
  view: TransformerCacheView,
  rows: ReadonlyArray<Row>,
  starts: ReadonlyArray<number>,
  most: number,
): void => {
  const { layout } = shelf.world.arena
  const tokens = Math.min(most, ...rows.map(({ ids }) => ids.length))
  const asked = rows.map(({ ids }) => ids.slice(ids.length - tokens))
  const { of, numQHeads } = queries(layout, 1)
  const answer = ask(shelf, view, asked, layout)
  const options = sees(view.maskingDetails)
  // What the first query needs must still be there; what padding hides is not needed.
  const gone = rows.some(({ ids, kept }, i) => {
    const window = windowOf(view.maskingDetails)
    if (window === undefined || tokens === 0) return false
    const position = ids.length - tokens
    const needed = Array.from({ length: tokens }, (_, t) => {
      const first = Math.max(starts[i]!, position + t - window + 1, 0)
      return first <= position + t ? first : Infinity
    })
    return Math.min(...needed) < kept
  })
  if (gone) return assert.equal(Result.getOrThrow(Result.flip(answer))._tag, "InvalidArgument")
  const want = rows.flatMap(({ ids }, i) => [
    ...Attention.dense({
      q: of(asked[i]!),
      k: rowsOf(layout, ids, 0, "keys"),
      v: rowsOf(layout, ids, 0, "values"),
      queryLen: tokens,
      contextLen: ids.length,
      numQHeads,
      keyHeads: layout.keyHeads,
      valueHeads: layout.valueHeads,
      keyDim: layout.keyDim,
      valueDim: layout.valueDim,
    }, { ...options, start: starts[i]! }).out,
  ])
  near("attention over a view", Result.getOrThrow(answer), want, rounding)
}

test("TransformerCache reads as lists of positions do, and every older value stays", () => {
  fc.assert(
    fc.property(program, ({ sizes, batchSize, details, steps, asking }) => {
      const shelf = Shelf.make({ ...sizes, layers: 1, capacity: sequenceLength })
      const metadata = metadataOf(shelf.world.arena.layout, batchSize)
      const made = [fresh(shelf, metadata, details)]
      for (const one of steps) {
        made.push(
          played(shelf, made[made.length - 1 - one.base % made.length]!, metadata, details, one),
        )
      }
      for (const { cache, layers, starts } of made) {
        for (const [layer, rows] of layers.entries()) {
          const view = cache.views[layer]!
          assert.deepEqual(view.indexs, rows.map(({ ids }) => ids.length))
          checkDense(shelf, view, rows, layer)
          for (const most of asking) checkAttention(shelf, view, rows, starts[layer]!, most)
        }
      }
      Shelf.end(shelf)
    }),
    { numRuns: 120 },
  )
})

test("TransformerCacheView.attend() gives a row the same bits alone and in a batch", () => {
  fc.assert(
    fc.property(
      sizes,
      detail,
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 3, maxLength: 3 }),
      fc.array(fc.nat(4), { minLength: 3, maxLength: 3 }),
      (sizes, detail, lengths, starts) => {
        const shelf = Shelf.make({ ...sizes, layers: 1, capacity: sequenceLength })
        const { layout } = shelf.world.arena
        const tokens = Math.min(2, ...lengths)
        const ids = lengths.map(() => World.rows(shelf.world, 9))
        const viewOf = (rows: ReadonlyArray<number>) => {
          const metadata = metadataOf(layout, rows.length)
          const empty = fresh(shelf, metadata, [detail, detail], rows.map((row) => starts[row]!))
          const chunk = upload(shelf, rows.map((row) => ids[row]!))
          return Result.getOrThrow(TransformerCacheView.append(empty.cache.views[0]!, chunk, {
            postpadded: true,
            queryLengths: rows.map((row) => lengths[row]!),
          }))
        }
        const asked = (row: number) => ids[row]!.slice(lengths[row]! - tokens, lengths[row])
        const of = (rows: ReadonlyArray<number>) =>
          Result.getOrThrow(ask(shelf, viewOf(rows), rows.map(asked), layout))
        const alone = [0, 1, 2].flatMap((row) => [...of([row])])
        assert.deepEqual([...of([0, 1, 2])], alone)
        Shelf.end(shelf)
      },
    ),
    { numRuns: 30 },
  )
})
