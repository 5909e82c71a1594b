/** Rows as signed bytes: the same bits on every device, from the smallest numbers to what is none. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { append } from "../../kernels/append.ts"
import { gather } from "../../kernels/gather.ts"
import * as int8 from "../../testing/world/int8.ts"
import { property, type Runner, runners } from "./harness.ts"

const dim = 7
const size = 12

/** Rows stored one after another. */
const store = async ({ run }: Runner, rows: ReadonlyArray<ReadonlyArray<number>>) => {
  const entries = Uint32Array.from(rows.flatMap((_, row) => [row, row]))
  const n = { rows: rows.length, heads: 1, dim, pool: size * rows.length }
  const { pool } = await run(append.int8, {
    axes: { ...n, entries: rows.length, copies: 0, pair: 2 },
    given: {
      rows: Float32Array.from(rows.flat()),
      entries,
      copies: new Uint32Array(0),
      pool: new Uint8Array(size * rows.length),
    },
    params: { rowBase: 0, ...place },
  })
  return pool as Uint8Array
}

const place = { base: 0, blockSize: 1, blockStride: size, headStride: 0, slotStride: 0 }

const load = async ({ run }: Runner, pool: Uint8Array) => {
  const rows = pool.length / size
  const { out } = await run(gather.int8, {
    axes: { rows, heads: 1, dim, tokens: rows, pool: pool.length },
    given: {
      pool,
      slots: Uint32Array.from({ length: rows }, (_, i) => i),
      out: new Float32Array(rows * dim),
    },
    params: { rowBase: 0, ...place },
  })
  return Array.from({ length: rows }, (_, i) => [...out!.slice(i * dim, (i + 1) * dim)])
}

const images = (rows: ReadonlyArray<ReadonlyArray<number>>) =>
  Uint8Array.from(rows.flatMap((row) => [...int8.image(int8.quantised(row))]))

// Significands of every kind, up to twelve places below the row's exponent.
const element = fc.tuple(
  fc.oneof(fc.integer({ min: -(2 ** 24), max: 2 ** 24 }), fc.constantFrom(0, 1, 2 ** 23, 2 ** 24)),
  fc.nat(12),
)
const any = fc.tuple(
  fc.integer({ min: -149, max: 103 }),
  fc.array(element, { minLength: dim, maxLength: dim }),
).map(([exponent, elements]) =>
  elements.map(([whole, down]) => Math.fround(whole * 2 ** (exponent - down)))
)

// A scale of 2^exponent, and elements at and beside the middle of two of its multiples.
const ties = fc.tuple(
  fc.integer({ min: -100, max: 100 }),
  fc.array(fc.tuple(fc.integer({ min: -127, max: 126 }), fc.integer({ min: -1, max: 1 })), {
    minLength: dim - 1,
    maxLength: dim - 1,
  }),
).map(([exponent, elements]) =>
  [127, ...elements.map(([k, beside]) => k + 0.5 + beside * 2 ** -17)]
    .map((x) => x * 2 ** exponent)
)

// About the scale from which on there is one: 2^−124.
const least = fc.tuple(
  fc.integer({ min: -200, max: 200 }),
  fc.array(fc.integer({ min: -127, max: 127 }), { minLength: dim - 1, maxLength: dim - 1 }),
).map(([beside, elements]) => [
  (127 * 2 ** 17 + beside) * 2 ** -141,
  ...elements.map((x) => x * 2 ** -124),
])

const none = any.chain((row) =>
  fc.tuple(fc.nat(dim - 1), fc.constantFrom(NaN, Infinity, -Infinity)).map(([i, x]) =>
    row.with(i, x)
  )
)

const rows = (...kinds: ReadonlyArray<fc.Arbitrary<ReadonlyArray<number>>>) =>
  fc.array(fc.oneof(...kinds), { minLength: 40, maxLength: 40 })

property(
  "append quantises rows to the bits of the definition, and a row that is no number alone",
  rows(any, ties, least, none, fc.constant(Array<number>(dim).fill(-0))),
  async (rows, runner) => assert.deepEqual(await store(runner, rows), images(rows)),
)

property(
  "append of rows that gather read writes the same bits again",
  rows(any, ties, least),
  async (rows, runner) => {
    const pool = await store(runner, rows)
    const read = await load(runner, pool)
    assert.deepEqual(
      read,
      rows.map((row) => int8.dequantised(int8.quantised(row)).map((x) => x + 0)),
    )
    assert.deepEqual(await store(runner, read), pool)
  },
)

test("int8 keeps a number of a row within half a scale, and the largest at 127 of them", () => {
  fc.assert(fc.property(fc.oneof(any, ties), (row) => {
    const { scale, bytes } = int8.quantised(row)
    if (scale === 0) return row.forEach((x) => assert.ok(Math.abs(x) < 2 ** -116))
    const most = Math.max(...row.map(Math.abs))
    assert.ok(Math.abs(scale * 127 - most) <= most * 2 ** -16)
    for (const [i, x] of row.entries()) {
      assert.ok(Math.abs(x - bytes[i]! * scale) <= scale * (1 / 2 + 2 ** -9))
      if (Math.abs(x) === most) assert.equal(Math.abs(bytes[i]!), 127)
      assert.equal(Math.fround(bytes[i]! * scale), bytes[i]! * scale, "a number of f32")
    }
  }))
})

test("gather of a row that is no number gives NaN, and other rows as they are", async () => {
  const row = [1, 2, -127, 4, 5, 6, 7]
  const read = await load(runners[0]!, images([row, row.with(3, NaN), row, row.with(0, Infinity)]))
  const gone = Array<number>(dim).fill(NaN)
  assert.deepEqual(read, [row, gone, row, gone])
})
