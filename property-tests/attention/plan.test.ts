/** Plans of attention: what they choose fits the kernel, whatever the problem. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { Result } from "effect"
import fc from "fast-check"
import { wide } from "../../kernels/split_attention.ts"
import { plan } from "../../lib/attention/plan.ts"
import { Layout } from "../../mod.ts"

const dims = fc.oneof(
  fc.constantFrom(1, 3, 5, 16, 64, 80, 96, 128, 256, 512),
  fc.integer({ min: 1, max: 300 }),
)

const problems = fc.record({
  keyHeads: fc.integer({ min: 1, max: 8 }),
  group: fc.integer({ min: 1, max: 16 }),
  keyDim: dims,
  valueDim: fc.option(dims, { nil: undefined }),
  dtype: fc.constantFrom("f32", "f16", "bf16", "int8"),
  batch: fc.integer({ min: 1, max: 9 }),
  queries: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 600 })),
  contextLen: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 100_000 })),
  softCap: fc.boolean(),
}).map(({ group, queries, valueDim, ...drawn }) => {
  const { keyHeads, keyDim, dtype, batch } = drawn
  const layout = Result.getOrThrow(Layout.make({
    layers: 1,
    keyHeads,
    keyDim,
    valueDim: valueDim ?? keyDim,
    blockSize: 16,
    dtype,
  }))
  return {
    ...drawn,
    layout,
    group,
    keys: Layout.strides(layout, 0, "keys"),
    values: Layout.strides(layout, 0, "values"),
    numQHeads: keyHeads * group,
    tokens: batch * queries,
  }
})

test("plan() holds whole packs of a group in registers, or leaves it to the general kernel", () => {
  fc.assert(fc.property(problems, (problem) => {
    const { layout: { dtype, keyDim, valueDim }, group } = problem
    const planned = plan(problem)
    const whole = keyDim % wide[dtype].elements === 0 && valueDim % wide[dtype].elements === 0
    assert.equal(planned !== undefined, whole && keyDim + valueDim <= 768)
    if (planned === undefined) return
    const { shape } = planned
    assert.equal(group % shape.heads, 0)
    assert.ok(shape.rows * shape.heads * (keyDim + valueDim) <= 768)
    assert.deepEqual([shape.dtype, shape.keyDim, shape.valueDim], [dtype, keyDim, valueDim])
  }))
})

test("plan() splits only what is long enough, and no more than keeps the device busy", () => {
  fc.assert(fc.property(problems, (problem) => {
    const planned = plan(problem)
    if (planned === undefined) return
    const { splits, shape: { heads, rows } } = planned
    const { tokens, numQHeads, contextLen } = problem
    assert.ok(Number.isSafeInteger(splits) && splits >= 1)
    assert.ok(splits === 1 || contextLen >= 64 * splits)
    const threads = Math.ceil(tokens / rows) * numQHeads / heads
    assert.ok(splits <= Math.max(16, Math.ceil(48 / threads)))
  }))
})

test("plan() leaves no tokens and rows that begin between vectors to the general kernel", () => {
  const layout = Result.getOrThrow(
    Layout.make({ layers: 2, keyHeads: 2, keyDim: 64, blockSize: 16, placement: "interleaved" }),
  )
  const keys = Layout.strides(layout, 1, "keys")
  const values = Layout.strides(layout, 1, "values")
  const rest = { layout, keys, numQHeads: 4, batch: 1, contextLen: 100, softCap: false }
  assert.equal(plan({ ...rest, values, tokens: 0 }), undefined)
  assert.equal(plan({ ...rest, values: { ...values, base: 2 }, tokens: 1 }), undefined)
  assert.equal(plan({ ...rest, values, tokens: 1 })?.splits, 1) // 100 positions are too few for two
  assert.equal(plan({ ...rest, values, tokens: 1, contextLen: 128 })?.splits, 2)
  const uneven = Result.getOrThrow(
    Layout.make({ layers: 1, keyHeads: 2, valueHeads: 4, keyDim: 64, blockSize: 16 }),
  )
  const halves = {
    keys: Layout.strides(uneven, 0, "keys"),
    values: Layout.strides(uneven, 0, "values"),
  }
  assert.equal(plan({ ...rest, ...halves, layout: uneven, tokens: 1 }), undefined)
})
