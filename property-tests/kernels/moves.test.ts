/** Kernels that move or convert elements. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { fromF32, toF32 } from "../../kernels/cast.ts"
import { concat } from "../../kernels/concat.ts"
import { weights } from "../../kernels/decode.ts"
import { place } from "../../kernels/place.ts"
import { strided } from "../../kernels/strided.ts"
import { formats } from "../../lib/tensor/DType.ts"
import { close, property } from "./harness.ts"
import { decoded, floats, halves, integers, seed, stored, upTo } from "./values.ts"

const sized = fc.record({ size: upTo(200), seed })

for (const dtype of [...weights.filter((dtype) => dtype !== "f32"), "i32", "u32"] as const) {
  property(`to_f32 reads ${dtype} exactly`, sized, async ({ size, seed }, { run }) => {
    const { elements } = formats[dtype]
    const n = elements > 1 ? Math.ceil(32 * size / elements) * elements : size
    const x = stored(dtype, seed, n)
    const { out } = await run(toF32[dtype], { axes: { n }, given: { x } })
    close(out!, decoded(dtype, x), 1e-7, "out")
  }, 0.5)
}

for (const dtype of ["f16", "bf16"] as const) {
  property(`from_f32 writes ${dtype} to the nearest`, sized, async ({ size: n, seed }, { run }) => {
    // From far below the smallest f16 to far above the largest, and halfway between two neighbours.
    const half = dtype === "f16" ? 2 ** -11 : 2 ** -8
    const x = floats(seed, n).map((v, i) =>
      i % 3 === 0 ? 1 + (2 * (i % 60) + 1) * half : v * 2 ** (i % 50 - 28)
    )
    const { out } = await run(fromF32[dtype], { axes: { n }, given: { x } })
    assert.deepEqual(out, halves(dtype, x))
  })
}

for (const dtype of ["i32", "u32"] as const) {
  property(`from_f32 cuts and clamps to ${dtype}`, sized, async ({ size: n, seed }, { run }) => {
    const x = floats(seed, n).map((v, i) => v * 10 ** (i % 12))
    const { out } = await run(fromF32[dtype], { axes: { n }, given: { x } })
    const [low, high] = dtype === "i32" ? [-(2 ** 31), 2 ** 31 - 128] : [0, 2 ** 32 - 256]
    assert.deepEqual([...out!], [...x].map((v) => Math.trunc(Math.min(Math.max(v, low), high)) + 0))
  })
}

const shape = fc.record({
  sizes: fc.tuple(upTo(4), upTo(5), upTo(6), upTo(7)),
  order: fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }),
  seed,
})

property("strided puts axes in any order", shape, async ({ sizes, order, seed }, { run }) => {
  const n = sizes.reduce((a, b) => a * b)
  const strides = sizes.map((_, i) => sizes.slice(i + 1).reduce((a, b) => a * b, 1))
  const x = floats(seed, n)
  const [, size1, size2, size3] = order.map((axis) => sizes[axis]!) as [
    number,
    number,
    number,
    number,
  ]
  const [stride0, stride1, stride2, stride3] = order.map((axis) => strides[axis]!) as typeof sizes
  const { out } = await run(strided, {
    axes: { size: n, n },
    given: { x },
    params: { offset: 0, size1, size2, size3, stride0, stride1, stride2, stride3 },
  })
  const naive = new Float32Array(n)
  const to = order.map((_, i) => order.slice(i + 1).reduce((a, axis) => a * sizes[axis]!, 1))
  for (let i = 0; i < n; i++) {
    const index = sizes.map((size, axis) => Math.floor(i / strides[axis]!) % size)
    naive[order.reduce((at, axis, k) => at + index[axis]! * to[k]!, 0)] = x[i]!
  }
  assert.deepEqual(out, naive)
})

const placed = fc.record({ before: fc.nat(9), n: upTo(9), after: fc.nat(9), seed })

property(
  "place puts words where they belong and leaves the others",
  placed,
  async (given, { run }) => {
    const { before, n, after, seed } = given
    const size = before + n + after
    const x = integers(seed, n, 99), old = integers(seed + 1, size, 99)
    const { out } = await run(place, {
      axes: { n, size },
      given: { x, out: old },
      params: { at: before },
    })
    assert.deepEqual([...out!], [...old.slice(0, before), ...x, ...old.slice(before + n)])
  },
)

const joined = fc.record({ outer: upTo(9), aRun: fc.nat(9), bRun: upTo(9), seed })

property("concat puts a run of a before each run of b", joined, async (given, { run }) => {
  const { outer, aRun, bRun, seed } = given
  const a = floats(seed, outer * aRun), b = floats(seed + 1, outer * bRun)
  const axes = { aSize: a.length, bSize: b.length, n: a.length + b.length }
  const { out } = await run(concat, { axes, given: { a, b }, params: { aRun, bRun } })
  const naive = Array.from({ length: outer }, (_, i) => [
    ...a.subarray(i * aRun, (i + 1) * aRun),
    ...b.subarray(i * bRun, (i + 1) * bRun),
  ]).flat()
  assert.deepEqual([...out!], naive)
})

test("from_f32 gives infinity where f16 ends", () => {
  assert.deepEqual([...halves("f16", Float32Array.of(65_519, 65_520, -1e9))], [
    0x7bff,
    0x7c00,
    0xfc00,
  ])
})
