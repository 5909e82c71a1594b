/** A cache in int8: rows are quantised once, what is read is exact, and it takes a quarter and a scale. @module */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Arena, Gpu, KvCache, Layout, Program } from "../../mod.ts"
import { layout } from "../../testing/world/configs.ts"
import { runs } from "../arbitraries/runs.ts"
import { play } from "../models/play.ts"
import { refused } from "../models/refusals.ts"
import * as Shelf from "../models/shelf.ts"
import { record } from "../../testing/world/storage.ts"
import * as World from "../../testing/world/world.ts"

const given = fc.record({
  layout: layout.map((drawn) => ({ ...drawn, dtype: "int8" as const })),
  ids: fc.array(fc.nat(1000), { minLength: 1, maxLength: 20 }),
  cuts: fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 3 }),
})

/** These numbers `[layers, tokens, heads, dim]` on the device. */
const upload = ({ layers, keyHeads, keyDim, valueHeads, valueDim }: Layout, tokens: number) =>
(
  [keys, values]: ReadonlyArray<Float32Array>,
) =>
  Effect.all({
    keys: Gpu.upload(
      "f32",
      "layers tokens keyHeads keyDim",
      { layers, tokens, keyHeads, keyDim },
      keys!,
    ),
    values: Gpu.upload(
      "f32",
      "layers tokens valueHeads valueDim",
      { layers, tokens, valueHeads, valueDim },
      values!,
    ),
  })

/** A cache of rows given as numbers, placed. */
const cacheOf = (shelf: Shelf.Shelf, rows: ReadonlyArray<Float32Array>, tokens: number): KvCache =>
  Shelf.run(
    shelf,
    Effect.gen(function* () {
      const { arena } = shelf.world
      const made = yield* upload(arena.layout, tokens)(rows)
      const cache = yield* Effect.fromResult(KvCache.append(KvCache.empty(arena), made))
      yield* Program.run(KvCache.realize([cache]))
      return cache
    }),
  )

test("KvCache.append() of what gather() read of int8 stores the bits that were read", () => {
  fc.assert(
    fc.property(given, ({ layout, ids, cuts }) => {
      const shelf = Shelf.make(layout)
      const read = Shelf.gather(shelf, Shelf.cacheOf(shelf, ids, cuts))
      const again = cacheOf(shelf, read, ids.length)
      shelf.world.values.push({ cache: again, rows: ids })
      World.check(shelf.world) // every bit of its slots is that of the rows first given
      assert.deepEqual(Shelf.gather(shelf, again), read)
      Shelf.end(shelf)
    }),
    runs(50),
  )
})

test("KvCache.gather() of int8 reads NaN for rows that were no numbers, and the others as ever", () => {
  fc.assert(
    fc.property(given, fc.nat(19), fc.constantFrom(NaN, -Infinity), ({ layout, ids }, at, x) => {
      const shelf = Shelf.make(layout)
      const token = at % ids.length
      const read = Shelf.gather(shelf, Shelf.cacheOf(shelf, ids))
      const { layers, ...sizes } = shelf.world.arena.layout
      const widths = [sizes.keyHeads * sizes.keyDim, sizes.valueHeads * sizes.valueDim]
      const dims = [sizes.keyDim, sizes.valueDim]
      const bad = read.map((rows) => rows.slice()), want = read.map((rows) => rows.slice())
      for (const [half, width] of widths.entries()) {
        const row = ((layers - 1) * ids.length + token) * width // its first head
        bad[half]![row + dims[half]! - 1] = x
        want[half]!.fill(NaN, row, row + dims[half]!)
      }
      assert.deepEqual(Shelf.gather(shelf, cacheOf(shelf, bad, ids.length)), want)
      Shelf.end(shelf)
    }),
    runs(50),
  )
})

test("KvCache.append() takes f32 rows for int8, and refuses rows that were rounded before", () => {
  const w = play({ keyDim: 5, dtype: "int8" })
  const { layout } = w.world.arena
  assert.equal(record(layout, [1]).keys.dtype, "f32")
  refused(
    KvCache.append(w.empty.cache, record({ ...layout, dtype: "bf16" }, [1])),
    "Cannot use rows.keys as f32: it is bf16; Tensor.cast converts it",
  )
  w.end()
})

test("KvCache.realize() of int8 quantises no row twice: carried rows keep their bits", () => {
  const w = play({ keyDim: 5, valueDim: 3, dtype: "int8" })
  const a = w.lease()
  let value = w.append(w.empty, 3)
  w.realize(a, value)
  for (let i = 0; i < 12; i++) { // each turn forks within a block: its slots are carried on
    const other = w.append(value, 1)
    w.realize(a, value, other)
    value = w.append(value, 1)
    w.realize(a, value)
    w.keep(a, value)
  }
  assert.ok(w.copied() > 12)
  w.reads(a, value) // and every bit of every value is compared after each run
  w.end()
})

test("Arena.plan() says what int8 takes: a byte an element, and four a row of a head", () => {
  const bytes = (dtype: Layout.Storage, keyDim: number) => {
    const sizes = { layers: 6, keyHeads: 3, keyDim, blockSize: 16, dtype }
    const layout = Result.getOrThrow(Layout.make(sizes))
    const { bytes } = Result.getOrThrow(Arena.plan(layout, 9 * Layout.blockBytes(layout, 0)))
    assert.equal(bytes, 9 * Layout.blockBytes(layout, 0))
    return bytes
  }
  assert.equal(bytes("int8", 64) / bytes("f32", 64), 68 / 256)
  assert.equal(bytes("int8", 5) / bytes("f32", 5), 12 / 20, "rows are whole words")
})
