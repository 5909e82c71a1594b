/** Attention in registers against softmax over a plain list of positions, in parts that merge. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { LSE_EMPTY } from "../../kernels/constants.ts"
import { drift } from "../../kernels/kernel.ts"
import { mergeStates } from "../../kernels/merge_states.ts"
import type { Pool } from "../../kernels/pool.ts"
import { type Shape, splitAttention } from "../../kernels/split_attention.ts"
import { close, property, type Run } from "./harness.ts"
import { type Case, type Laid, laidOut, launchOf, naive } from "./positions.ts"
import { seed, upTo } from "./values.ts"

const plain = { rows: 1, softCap: false } as const
const shapes: ReadonlyArray<Shape> = [
  { ...plain, dtype: "f32", keyDim: 4, valueDim: 12, heads: 4 },
  { ...plain, dtype: "f32", keyDim: 32, valueDim: 32, heads: 3 },
  { ...plain, dtype: "f32", keyDim: 16, valueDim: 8, heads: 3, rows: 2 },
  { ...plain, dtype: "f16", keyDim: 80, valueDim: 80, heads: 1 },
  { ...plain, dtype: "f16", keyDim: 8, valueDim: 16, heads: 2, rows: 2, softCap: true },
  { ...plain, dtype: "bf16", keyDim: 24, valueDim: 8, heads: 1, softCap: true },
  { ...plain, dtype: "bf16", keyDim: 8, valueDim: 8, heads: 1, rows: 2 },
  { ...plain, dtype: "int8", keyDim: 4, valueDim: 12, heads: 3 },
  { ...plain, dtype: "int8", keyDim: 20, valueDim: 8, heads: 2, rows: 2, softCap: true },
]
const kernels = shapes.map(splitAttention)

test("split_attention declares what the host's record says, under a name of its own", () => {
  assert.deepEqual(kernels.flatMap(drift), [])
  assert.equal(new Set(kernels.map(({ spec }) => spec.name)).size, shapes.length)
  assert.equal(splitAttention({ ...shapes[0]! }), kernels[0], "a shape has one kernel")
  assert.notEqual(splitAttention({ ...shapes[0]!, dtype: "int8" }), kernels[0], "and a dtype too")
})

const cases = fc.record({
  which: fc.nat(shapes.length - 1),
  kvHeads: upTo(2),
  packs: upTo(2),
  blockSize: fc.constantFrom(1, 5, 16, 32),
  rows: fc.array(
    fc.record({ length: upTo(70), queries: upTo(5), first: fc.oneof(fc.constant(0), upTo(80)) }),
    { minLength: 1, maxLength: 3 },
  ),
  window: fc.oneof(fc.constant(0), upTo(40)),
  sinks: fc.oneof(fc.constant(0), upTo(6)),
  softCap: fc.constantFrom(0.5, 20),
  headMajor: fc.boolean(),
  splits: upTo(6),
  tile: upTo(8),
  seed,
}).map((drawn): Split => {
  const { dtype, keyDim, valueDim, heads, softCap } = shapes[drawn.which]!
  return {
    ...drawn,
    dtype,
    keyDim,
    valueDim,
    heads: [heads * drawn.packs * drawn.kvHeads, drawn.kvHeads, drawn.kvHeads],
    softCap: softCap ? drawn.softCap : 0,
  }
})
type Split = Case & {
  readonly which: number
  readonly dtype: Pool
  readonly splits: number
  readonly tile: number
}

const attend = async (run: Run, given: Split, laid: Laid) => {
  const { axes, params, ...launch } = launchOf(given, laid)
  const { which, splits, tile } = given
  const { out, lse } = await run(kernels[which]!, {
    ...launch,
    axes: { ...axes, splits },
    params: { ...params, tile },
  })
  return { out: out as Float32Array, lse: lse as Float32Array }
}

property(
  "split_attention in any number of parts merges to attention over a list of positions",
  cases,
  async (given, runner) => {
    const laid = laidOut(given, given.dtype, runner.poison)
    const parts = await attend(runner.run, given, laid)
    const rows = laid.visible.length * laid.numQHeads
    const { out, lse } = await runner.run(mergeStates, {
      axes: { parts: given.splits, rows, dim: given.valueDim },
      given: { outs: parts.out, lses: parts.lse },
    })
    const expected = naive(given, laid)
    close(out!, expected.out, runner.tolerance * 4, "out")
    close(lse!, expected.lse, runner.tolerance * 4, "lse")
  },
  4,
)

property(
  "split_attention in one part is the state of the whole",
  cases.map((given) => ({ ...given, splits: 1 })),
  async (given, runner) => {
    const laid = laidOut(given, given.dtype, runner.poison)
    const { out, lse } = await attend(runner.run, given, laid)
    const expected = naive(given, laid)
    close(out, expected.out, runner.tolerance * 4, "out")
    close(lse, expected.lse, runner.tolerance * 4, "lse")
  },
)

property(
  "split_attention with more parts than positions leaves the others empty",
  cases,
  async (given, runner) => {
    const rows = given.rows.map((row) => ({ ...row, length: Math.min(row.length, 3) }))
    const few = { ...given, rows, splits: 40 }
    const laid = laidOut(few, few.dtype, runner.poison)
    const { out, lse } = await attend(runner.run, few, laid)
    const states = laid.visible.length * laid.numQHeads
    for (let i = 3 * states; i < 40 * states; i++) assert.equal(lse[i], LSE_EMPTY)
    assert.deepEqual(
      out.subarray(3 * states * few.valueDim),
      new Float32Array(37 * states * few.valueDim),
    )
  },
)
