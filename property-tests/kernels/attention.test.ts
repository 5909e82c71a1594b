/** Paged attention against softmax over a plain list of positions, and the merge of its states. @module */
import assert from "node:assert/strict"
import fc from "fast-check"
import { LSE_EMPTY } from "../../kernels/constants.ts"
import { mergeStates } from "../../kernels/merge_states.ts"
import { pagedAttention } from "../../kernels/paged_attention.ts"
import { type Pool, pools } from "../../kernels/pool.ts"
import { close, property, type Run, type Runner } from "./harness.ts"
import { type Case, type Laid, laidOut, launchOf, naive } from "./positions.ts"
import { floats, seed, upTo } from "./values.ts"

const heads = fc.constantFrom([1, 1, 1], [3, 1, 3], [4, 2, 2], [6, 3, 2], [8, 2, 4])

const cases = fc.record({
  heads,
  keyDim: fc.oneof(upTo(9), upTo(256)),
  valueDim: fc.oneof(upTo(9), upTo(256)),
  blockSize: upTo(5),
  /** Of each sequence: tokens seen at most, and how many queries it has, the last ones. */
  rows: fc.array(
    fc.record({ length: upTo(24), queries: upTo(4), first: fc.nat(12) }),
    { minLength: 1, maxLength: 3 },
  ),
  window: fc.oneof(fc.constant(0), upTo(12)),
  sinks: fc.oneof(fc.constant(0), upTo(6)),
  softCap: fc.constantFrom(0, 0.5, 20),
  seed,
})

const attend = async (run: Run, given: Case, dtype: Pool, laid: Laid) => {
  const { out, lse } = await run(pagedAttention[dtype], launchOf(given, laid))
  return { out: out as Float32Array, lse: lse as Float32Array }
}

for (const dtype of pools) {
  property(
    `paged_attention over ${dtype} agrees with a list of positions`,
    cases,
    async (given, runner) => {
      const laid = laidOut(given, dtype, runner.poison)
      const { out, lse } = await attend(runner.run, given, dtype, laid)
      const expected = naive(given, laid)
      close(out, expected.out, runner.tolerance * 4, "out")
      close(lse, expected.lse, runner.tolerance * 4, "lse")
    },
    2,
  )
}

property(
  "paged_attention sees its sinks beside a window that is past them",
  cases.map((given) => ({
    ...given,
    rows: [{ length: 20, queries: 2, first: 0 }],
    window: 3,
    sinks: 2,
  })),
  async (given, runner) => {
    const laid = laidOut(given, "f32", runner.poison)
    const { out, lse } = await attend(runner.run, given, "f32", laid)
    const expected = naive(given, laid)
    close(out, expected.out, runner.tolerance * 4, "out")
    close(lse, expected.lse, runner.tolerance * 4, "lse")
  },
)

property(
  "paged_attention gives a token the same bits alone and in a batch",
  cases,
  async (given, runner) => {
    const laid = laidOut(given, "f16", runner.poison)
    const { numQHeads } = laid
    const { out, lse } = await attend(runner.run, given, "f16", laid)
    const token = given.seed % laid.visible.length
    const width = numQHeads * given.keyDim
    const alone = await attend(runner.run, given, "f16", {
      ...laid,
      visible: [laid.visible[token]!],
      q: laid.q.slice(token * width, (token + 1) * width),
    })
    const wide = numQHeads * given.valueDim
    assert.deepEqual(alone.out, out.slice(token * wide, (token + 1) * wide))
    assert.deepEqual(alone.lse, lse.slice(token * numQHeads, (token + 1) * numQHeads))
  },
)

const partitioned = fc.record({
  context: upTo(20),
  rows: upTo(4),
  dim: upTo(9),
  cuts: fc.array(fc.nat(20), { maxLength: 4 }),
  seed,
})

/** State of positions `from` … `end` − 1 by definition; scores and rows come from the seed. */
const state = (
  x: { rows: number; dim: number; seed: number },
  from: number,
  end: number,
  junk: number,
) => {
  const lse: Array<number> = [], out: Array<number> = []
  for (let r = 0; r < x.rows; r++) {
    const scores = floats(x.seed + r, 20).map((s) => s * 10).subarray(from, end)
    const rows = floats(x.seed + 100 + r, 20 * x.dim).subarray(from * x.dim, end * x.dim)
    const sum = scores.reduce((sum, s) => sum + Math.exp(s), 0)
    lse.push(scores.length === 0 ? LSE_EMPTY : Math.log(sum))
    for (let d = 0; d < x.dim; d++) {
      out.push(
        scores.length === 0
          ? junk
          : scores.reduce((mean, s, i) => mean + Math.exp(s) / sum * rows[i * x.dim + d]!, 0),
      )
    }
  }
  return { lse, out }
}

const merge = (
  { run, poison }: Runner,
  x: { rows: number; dim: number; seed: number },
  bounds: ReadonlyArray<number>,
) => {
  const parts = bounds.slice(1).map((end, i) => state(x, bounds[i]!, end, poison))
  return run(mergeStates, {
    axes: { parts: parts.length, rows: x.rows, dim: x.dim },
    given: {
      outs: Float32Array.from(parts.flatMap(({ out }) => out)),
      lses: Float32Array.from(parts.flatMap(({ lse }) => lse)),
    },
  })
}

property(
  "merge_states over any partition is the state of the whole",
  partitioned,
  async (x, runner) => {
    const bounds = [
      0,
      ...x.cuts.map((cut) => Math.min(cut, x.context)).toSorted((a, b) => a - b),
      x.context,
    ]
    const { out, lse } = await merge(runner, x, bounds)
    const whole = state(x, 0, x.context, NaN)
    close(out!, whole.out, runner.tolerance, "out")
    close(lse!, whole.lse, runner.tolerance, "lse")
  },
)

property("merge_states of empty states is the empty state", partitioned, async (x, runner) => {
  const { out, lse } = await merge(runner, x, [0, 0, 0])
  assert.deepEqual(out, new Float32Array(x.rows * x.dim))
  assert.deepEqual(lse, new Float32Array(x.rows).fill(LSE_EMPTY))
})
