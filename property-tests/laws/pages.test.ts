/** Laws 1, 6 and 8 for pools whose pages a caller numbers, against plain arrays. */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Attention, Gpu, KvCache, Pages, Program, Recording } from "../../mod.ts"
import { layout } from "../../testing/world/configs.ts"
import { queries } from "../arbitraries/readings.ts"
import { near, rounding, rowsOf } from "../../testing/world/readings.ts"
import * as Shelf from "../models/shelf.ts"
import * as World from "../../testing/world/world.ts"

const numPages = 5

/** One batch of writes, over a pool made before: choices that the model turns into runs that are allowed. */
const batch = fc.record({
  base: fc.nat(20),
  runs: fc.array(
    fc.record({ page: fc.nat(numPages - 1), back: fc.nat(6), count: fc.nat(6) }),
    { maxLength: 4 },
  ),
  realize: fc.boolean(),
})

/** Row numbers of each page, by slot. */
type Model = ReadonlyArray<ReadonlyArray<number>>

const program = fc.record({
  batches: fc.array(batch, { minLength: 1, maxLength: 8 }),
  rows: fc.array(
    fc.record({
      blocks: fc.array(fc.nat(numPages - 1), { maxLength: 4 }),
      cut: fc.nat(5),
      count: fc.nat(3),
    }),
    { minLength: 1, maxLength: 3 },
  ),
})

/** Runs over a page's slots, from somewhere in what it holds to somewhere in the page. */
const runsOf = (
  model: Model,
  blockSize: number,
  drawn: ReadonlyArray<{ readonly page: number; readonly back: number; readonly count: number }>,
): ReadonlyArray<Pages.Run> => {
  const ends = new Map<number, number>() // of the runs so far, by page
  let from = 0
  return drawn.flatMap(({ page, back, count: most }) => {
    const least = ends.get(page) ?? 0
    const length = Math.max(least, model[page]!.length)
    const offset = Math.max(least, length - back)
    const count = Math.min(most, blockSize - offset)
    if (count <= 0) return []
    ends.set(page, offset + count)
    from += count
    return [{ page, offset, from: from - count, count }]
  })
}

test("Pages.write() leaves every older pool as it was, and reads as plain arrays do", () => {
  fc.assert(
    fc.property(layout, program, (drawn, { batches, rows }) => {
      const shelf = Shelf.make(drawn)
      Shelf.diverge(shelf)
      const { world } = shelf
      const { layout } = world.arena
      const made = [{
        pool: Result.getOrThrow(Pages.make(world.arena, numPages)),
        model: Array.from({ length: numPages }, (): ReadonlyArray<number> => []),
      }]
      for (const { base, runs: wanted, realize } of batches) {
        const { pool, model } = made[base % made.length]!
        const runs = runsOf(model, layout.blockSize, wanted)
        const ids = World.rows(world, runs.reduce((sum, { count }) => sum + count, 0))
        const rows = World.uploaded(world, ids)
        const next = Result.getOrThrow(Pages.write(pool, rows, runs.toReversed()))
        const written = model.map((page, i) => {
          const slots = [...page]
          for (const { page, offset, from, count } of runs) {
            if (page === i) slots.splice(offset, count, ...ids.slice(from, from + count))
          }
          return slots
        })
        made.push({ pool: next, model: written })
        if (realize) Shelf.run(shelf, Program.run(Pages.realize(next)))
      }
      for (const { pool, model } of made) {
        const [keys, values] = Shelf.run(
          shelf,
          Effect.gen(function* () {
            const got = yield* Program.run(Pages.gatherAll(pool))
            return [yield* Gpu.read(got.keys), yield* Gpu.read(got.values)]
          }),
        )
        for (const [kind, got] of [["keys", keys!], ["values", values!]] as const) {
          const width = got.length / layout.layers / numPages / layout.blockSize
          const want = Array.from({ length: layout.layers }, (_, layer) =>
            model.flatMap((ids) => {
              const some = rowsOf(layout, ids, layer, kind)
              return [...some, ...new Array(layout.blockSize * width - some.length).fill(0)]
            })).flat()
          near(`pool of ${kind}`, got, want, 0)
        }
      }
      const { pool, model } = made.at(-1)!
      const asked = rows.map(({ blocks, cut, count }) => {
        // Every page but the last must be full, as in a block table.
        const whole = blocks.filter((page) => model[page]!.length === layout.blockSize)
        const contextLen = Math.max(0, whole.length * layout.blockSize - cut)
        const ids = whole.flatMap((page) => model[page]!).slice(0, contextLen)
        return { blocks: [...whole, -1], contextLen, queryLen: Math.min(count, contextLen), ids }
      })
      const { of, numQHeads } = queries(layout, 1)
      const asking = asked.flatMap(({ ids, queryLen }) => ids.slice(ids.length - queryLen))
      for (let layer = 0; layer < layout.layers; layer++) {
        const out = Shelf.run(
          shelf,
          Effect.gen(function* () {
            const shape = [asking.length, numQHeads, layout.keyDim]
            const data = Float32Array.from(of(asking))
            const states = yield* Program.run(
              Effect.suspend(() => {
                const q = Recording.fresh("f32", "tokens numQHeads headDim", shape, data)
                return Attention.attendPages(q, pool, asked, {
                  layer,
                  window: { last: undefined, sinks: 0 },
                })
              }),
            )
            return yield* Gpu.read(states.out)
          }),
        )
        const want = asked.flatMap(({ ids, queryLen, contextLen }) => [
          ...Attention.dense({
            q: of(ids.slice(ids.length - queryLen)),
            k: rowsOf(layout, ids, layer, "keys"),
            v: rowsOf(layout, ids, layer, "values"),
            queryLen,
            contextLen,
            numQHeads,
            keyHeads: layout.keyHeads,
            valueHeads: layout.valueHeads,
            keyDim: layout.keyDim,
            valueDim: layout.valueDim,
          }).out,
        ])
        near("attention over pages", out, want, rounding)
      }
      Shelf.end(shelf)
    }),
    { numRuns: 150 },
  )
})

test("Pages.write() refuses runs that leave their page, overlap or leave a hole", () => {
  const shelf = Shelf.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 4 })
  const pool = Result.getOrThrow(Pages.make(shelf.world.arena, 3))
  const rows = World.uploaded(shelf.world, World.rows(shelf.world, 6))
  const says = (message: string, ...runs: ReadonlyArray<Pages.Run>): void =>
    assert.equal(
      Result.getOrThrow(Result.flip(Pages.write(pool, rows, runs))).message,
      `Cannot ${message}`,
    )
  const run = { page: 0, offset: 0, from: 0, count: 1 }
  says("take 3 as runs[0].page: it must be a page from 0 to 2", { ...run, page: 3 })
  says("take -1 as runs[0].page: it must be a page from 0 to 2", { ...run, page: -1 })
  says("take 5 as runs[0].offset: it must be within a page of 4 slots", { ...run, offset: 5 })
  says(
    "take 3 as runs[1].count: it must be at most 2, the slots left in its page",
    run,
    { ...run, page: 1, offset: 2, count: 3 },
  )
  says("take 4 as runs[0].from: it must be at most 3: 6 rows are given", {
    ...run,
    from: 4,
    count: 3,
  })
  says("take -1 as runs[0].count: it must be a whole number, at least 0", { ...run, count: -1 })
  says(
    "take 0 as page: it must be written by one run only, and two write slot 1 of it",
    { ...run, count: 2 },
    { ...run, offset: 1 },
  )
  says(
    "take 1 as at: it must be a whole position from 0 (the first visible) to 0 (the length)",
    { ...run, offset: 1 },
  )
  assert.equal(
    Result.getOrThrow(Result.flip(Pages.make(shelf.world.arena, 0))).message,
    "Cannot take 0 as numPages: it must be a whole number, at least 1",
  )
  Shelf.end(shelf)
})

test("Pages share a launch: any number of runs takes one for each layer and half", () => {
  const shelf = Shelf.make({
    layers: 2,
    keyHeads: 2,
    keyDim: 4,
    blockSize: 4,
    placement: "interleaved",
  })
  const pool = Result.getOrThrow(Pages.make(shelf.world.arena, 8))
  const combined = Recording.fresh(
    "f32",
    "layers tokens combinedHeads dim",
    [2, 8, 4, 4],
    new Float32Array(256),
  )
  const runs = Array.from(
    { length: 8 },
    (_, page) => ({ page, offset: 0, from: 7 - page, count: 1 }),
  )
  const next = Result.getOrThrow(Pages.write(pool, { combined }, runs))
  const launches = Shelf.run(
    shelf,
    Program.run(Effect.gen(function* () {
      yield* Pages.realize(next)
      return (yield* Recording.Service).work.length
    })),
  )
  assert.equal(launches, 2)
  Shelf.end(shelf)
})

test("Pages.write() of several runs in a page copies it once, and its shorter views read right", () => {
  const shelf = Shelf.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 8 })
  const { world } = shelf
  const empty = Result.getOrThrow(Pages.make(world.arena, 1))
  const [old, fresh] = [World.rows(world, 6), World.rows(world, 4)]
  const put = (pool: Pages, ids: ReadonlyArray<number>, runs: ReadonlyArray<Pages.Run>) =>
    Result.getOrThrow(Pages.write(pool, World.uploaded(world, ids), runs))
  const before = put(empty, old, [{ page: 0, offset: 0, from: 0, count: 6 }])
  const runs = [
    { page: 0, offset: 5, from: 1, count: 3 },
    { page: 0, offset: 2, from: 0, count: 1 },
  ]
  const want = [...old.slice(0, 2), fresh[0]!, ...old.slice(3, 5), ...fresh.slice(1)]
  const verify = (pool: Pages, length: number) => {
    const cache = Result.getOrThrow(KvCache.truncate(Pages.at(pool, 0), length))
    const [keys] = Shelf.gather(shelf, cache)
    near("keys", keys!, rowsOf(world.arena.layout, want.slice(0, length), 0, "keys"), 0)
  }
  const { numBlocks } = world.arena.ledgers[0]!
  Shelf.run(shelf, Program.run(Pages.realize(before)))
  const owing = Array.from({ length: 9 }, () => put(before, fresh, runs))
  Shelf.run(shelf, Program.run(Pages.realize(owing[8]!)))
  assert.equal(numBlocks - world.arena.ledgers[0]!.numFree, 2)
  for (const [length, pool] of owing.entries()) verify(pool, length)
  // A base that owes its rows too: all are written by the same batch.
  for (let length = 0; length <= 8; length++) {
    verify(put(put(empty, old, [{ page: 0, offset: 0, from: 0, count: 6 }]), fresh, runs), length)
  }
  Shelf.end(shelf)
})
