/** Kernels of one row or one element at a time, against their definitions in f64. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { add } from "../../kernels/add.ts"
import { addBias } from "../../kernels/add_bias.ts"
import { argmax } from "../../kernels/argmax.ts"
import { gelu } from "../../kernels/gelu.ts"
import { fold } from "../../kernels/grid.ts"
import { mul } from "../../kernels/mul.ts"
import { rmsNorm } from "../../kernels/rms_norm.ts"
import { type Pairing, rope } from "../../kernels/rope.ts"
import { scale } from "../../kernels/scale.ts"
import { silu } from "../../kernels/silu.ts"
import { softmax } from "../../kernels/softmax.ts"
import { turnsOf } from "../../kernels/turns.ts"
import { close, property } from "./harness.ts"
import { floats, integers, seed, upTo } from "./values.ts"

const matrix = fc.record({ rows: upTo(150), n: upTo(70), seed })

const perRow = (
  { rows, n }: { rows: number; n: number },
  x: Float32Array,
  f: (row: ReadonlyArray<number>) => ReadonlyArray<number>,
) => Array.from({ length: rows }, (_, r) => f([...x.subarray(r * n, (r + 1) * n)])).flat()

property("add and mul are element by element", matrix, async ({ rows, n: m, seed }, { run }) => {
  const n = rows * m
  const a = floats(seed, n), b = floats(seed + 1, n)
  const sum = await run(add, { axes: { n }, given: { a, b } })
  const product = await run(mul, { axes: { n }, given: { a, b } })
  assert.deepEqual(sum["out"], a.map((x, i) => x + b[i]!))
  assert.deepEqual(product["out"], a.map((x, i) => x * b[i]!))
})

property("silu is x · sigmoid(x), also far from zero", matrix, async (given, runner) => {
  const x = floats(given.seed, given.rows * given.n).map((v, i) => i % 3 === 0 ? v * 60 : v)
  const { out } = await runner.run(silu, { axes: { n: x.length }, given: { x } })
  close(out!, [...x].map((v) => v / (1 + Math.exp(-v))), runner.tolerance, "out")
})

property("gelu is its tanh approximation, also far from zero", matrix, async (given, runner) => {
  const x = floats(given.seed, given.rows * given.n).map((v, i) => i % 3 === 0 ? v * 60 : v)
  const { out } = await runner.run(gelu, { axes: { n: x.length }, given: { x } })
  const naive = [...x].map((v) =>
    v / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))
  )
  close(out!, naive, runner.tolerance, "out")
})

property("scale and add_bias are row by row", matrix, async ({ rows, n: d, seed }, { run }) => {
  const x = floats(seed, rows * d), bias = floats(seed + 1, d)
  const scaled = await run(scale, { axes: { n: rows * d }, given: { x }, params: { factor: 2.5 } })
  const moved = await run(addBias, { axes: { rows, d }, given: { x, bias } })
  assert.deepEqual(scaled["out"], x.map((v) => v * 2.5))
  assert.deepEqual(moved["out"], x.map((v, i) => v + bias[i % d]!))
})

property("rms_norm divides by the root of the mean square", matrix, async (given, runner) => {
  const x = floats(given.seed, given.rows * given.n)
  const weight = floats(given.seed + 1, given.n)
  const { out } = await runner.run(rmsNorm, {
    axes: { rows: given.rows, d: given.n },
    given: { x, weight },
    params: { eps: 1e-5 },
  })
  const naive = perRow(given, x, (row) => {
    const square = row.reduce((sum, v) => sum + v * v, 0) / row.length
    return row.map((v, i) => v * weight[i]! / Math.sqrt(square + 1e-5))
  })
  close(out!, naive, runner.tolerance, "out")
})

property("softmax sums to one, also of large numbers", matrix, async (given, runner) => {
  const x = floats(given.seed, given.rows * given.n).map((v) => v * 50 + 1000)
  const { out } = await runner.run(softmax, {
    axes: { rows: given.rows, n: given.n },
    given: { x },
  })
  const naive = perRow(given, x, (row) => {
    const max = Math.max(...row)
    const sum = row.reduce((s, v) => s + Math.exp(v - max), 0)
    return row.map((v) => Math.exp(v - max) / sum)
  })
  close(out!, naive, runner.tolerance, "out")
})

property("argmax takes the first of the largest", matrix, async ({ rows, n, seed }, { run }) => {
  const x = floats(seed, rows * n).map(Math.round) // many ties
  const { out } = await run(argmax, { axes: { rows, n }, given: { x } })
  assert.deepEqual([...out!], perRow({ rows, n }, x, (row) => [row.indexOf(Math.max(...row))]))
})

const turns = fc.record({ tokens: upTo(12), heads: upTo(5), d: upTo(40), part: upTo(40), seed })
const pairOf: Record<Pairing, (p: number, rotary: number) => readonly [number, number]> = {
  interleaved: (p) => [2 * p, 2 * p + 1],
  half: (p, rotary) => [p, p + rotary / 2],
}

for (const pairing of ["interleaved", "half"] as const) {
  property(`rope turns ${pairing} pairs and copies the rest`, turns, async (given, runner) => {
    const { tokens, heads, d } = given
    const rotary = Math.min(given.part, d) & ~1
    const x = floats(given.seed, tokens * heads * d)
    const positions = integers(given.seed, tokens, 2_000_000)
    const pairs = rotary / 2
    const frequencies = Array.from({ length: pairs }, (_, p) => 10_000 ** (-2 * p / rotary))
    const { out } = await runner.run(rope[pairing], {
      axes: { tokens, heads, d, pairs, two: 2 },
      given: { x, positions, turns: turnsOf(frequencies) },
    })
    const naive = Float64Array.from(x)
    for (let i = 0; i < tokens * heads; i++) {
      for (let p = 0; p < rotary / 2; p++) {
        const angle = positions[Math.floor(i / heads)]! / 10_000 ** (2 * p / rotary)
        const [a, b] = pairOf[pairing](p, rotary).map((j) => i * d + j) as [number, number]
        naive[a] = x[a]! * Math.cos(angle) - x[b]! * Math.sin(angle)
        naive[b] = x[a]! * Math.sin(angle) + x[b]! * Math.cos(angle)
      }
    }
    // In f64 the product of position and frequency is off by 2e-10 rad at 2,000,000.
    close(out!, naive, 1e-6, "out")
  })
}

test("fold covers every thread within the limits of one dimension", () => {
  assert.deepEqual(fold(0, 64), [1, 1, 1])
  fc.assert(fc.property(fc.nat(65_535 ** 2), upTo(256), (count, per) => {
    const [x, y, z] = fold(count, per)
    assert.ok(x * y * z * per >= count && x <= 65_535 && z === 1)
    assert.ok(count === 0 || x * y * per - count < per * (y + 1), "no more than a row too many")
    assert.ok(y <= 65_535)
  }))
})
