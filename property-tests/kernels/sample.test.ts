/** Sampling: filters against a sort, draws against exact probabilities. @module */
import assert from "node:assert/strict"
import fc from "fast-check"
import { argmax } from "../../kernels/argmax.ts"
import { sample } from "../../kernels/sample.ts"
import { property, type Run, twin } from "./harness.ts"
import { floats, seed, upTo } from "./values.ts"

interface Options {
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly minP: number
}
const open: Options = { temperature: 1, topK: 0, topP: 1, minP: 0 }

/** Draws `rows` times from the same logits: seed `seed`, positions from 0 on. */
const draws = async (
  run: Run,
  logits: Float32Array,
  rows: number,
  from: number,
  options: Options,
): Promise<Uint32Array> => {
  const vocab = logits.length
  const all = new Float32Array(rows * vocab)
  for (let r = 0; r < rows; r++) all.set(logits, r * vocab)
  const { out } = await run(sample, {
    axes: { rows, vocab, two: 2 },
    given: {
      logits: all,
      noise: Uint32Array.from({ length: 2 * rows }, (_, i) => i % 2 === 0 ? from : i >> 1),
    },
    params: { ...options },
  })
  return out as Uint32Array
}

/** Probabilities after the filters, by sorting. Distances to a border tell how near a filter came to another choice. */
const filtered = (logits: Float32Array, { temperature, topK, topP, minP }: Options) => {
  const order = [...logits.keys()].toSorted((a, b) => logits[b]! - logits[a]!)
  const max = logits[order[0]!]!
  const weight = (id: number) => Math.exp((logits[id]! - max) / temperature)
  let border = Infinity
  let kept = order
  const cutAfter = (n: number) => {
    const last = logits[kept[Math.min(n, kept.length) - 1]!]!
    kept = kept.filter((id) => logits[id]! >= last)
  }
  if (topK > 0) cutAfter(topK)
  if (topP < 1) {
    const total = kept.reduce((sum, id) => sum + weight(id), 0)
    let sum = 0, n = 0
    while (n < kept.length && sum < topP * total) {
      sum += weight(kept[n++]!)
      border = Math.min(border, Math.abs(sum / total - topP))
    }
    cutAfter(n)
  }
  border = Math.min(border, ...kept.map((id) => Math.abs(weight(id) - minP)))
  kept = kept.filter((id) => weight(id) >= minP)
  const total = kept.reduce((sum, id) => sum + weight(id), 0)
  return { border, probability: new Map(kept.map((id) => [id, weight(id) / total])) }
}

const options = fc.record({
  vocab: upTo(40),
  ties: fc.boolean(),
  seed,
  temperature: fc.constantFrom(0.3, 1, 2),
  topK: fc.oneof(fc.constant(0), upTo(50)),
  topP: fc.constantFrom(1, 0.95, 0.7, 0.3, 0.01),
  minP: fc.constantFrom(0, 0.05, 0.5),
})

property(
  "sample draws only what the filters keep, and all of it",
  options,
  async (given, { run }) => {
    const { vocab, seed, ties } = given
    const logits = floats(seed, vocab).map((x) => ties ? Math.round(x * 2) : x)
    const { probability, border } = filtered(logits, given)
    fc.pre(border > 1e-5) // where rounding decides, devices may differ
    const drawn = new Set(await draws(run, logits, 300, seed, given))
    for (const id of drawn) assert.ok(probability.has(id), `${id} was filtered away`)
    for (const [id, p] of probability) {
      // (1 − 0.1)^300 is 2e-14.
      if (p > 0.1) assert.ok(drawn.has(id), `${id} of probability ${p} was never drawn`)
    }
  },
  1,
)

property(
  "sample draws in proportion: the chi-square of 2,000 draws is likely",
  fc.record({ vocab: fc.integer({ min: 2, max: 12 }), seed }),
  async ({ vocab, seed }, { run }) => {
    const logits = floats(seed, vocab)
    const { probability } = filtered(logits, open)
    const rows = 2000
    const counts = new Float64Array(vocab)
    for (const id of await draws(run, logits, rows, seed, open)) counts[id]! += 1
    const square = counts.reduce((sum, n, id) => {
      const expected = probability.get(id)! * rows
      return sum + (n - expected) ** 2 / expected
    }, 0)
    // Mean vocab − 1, standard deviation √(2 (vocab − 1)): six of them, and room for the skew of few ids.
    assert.ok(square < vocab - 1 + 6 * Math.sqrt(2 * (vocab - 1)) + 20, `chi-square ${square}`)
  },
  0.3,
)

property(
  "sample is argmax where only one token is kept",
  options,
  async ({ vocab, seed }, { run }) => {
    const logits = floats(seed, vocab)
    fc.pre(new Set(logits).size === vocab)
    const { out } = await run(argmax, { axes: { rows: 1, n: vocab }, given: { x: logits } })
    const limits: ReadonlyArray<Partial<Options>> = [{ topK: 1 }, { topP: 1e-6 }, { minP: 1 }]
    for (const limit of limits) {
      const drawn = await draws(run, logits, 5, seed, { ...open, ...limit })
      assert.deepEqual([...drawn], new Array(5).fill(out![0]))
    }
  },
)

property(
  "sample keeps both zeros where it keeps one",
  fc.record({ seed }),
  async ({ seed }, { run }) => {
    const drawn = await draws(run, Float32Array.of(0, -0, -1), 64, seed, { ...open, topK: 1 })
    assert.deepEqual(new Set(drawn), new Set([0, 1]))
  },
)

property(
  "sample depends on seed and position, and on nothing else",
  fc.record({ vocab: fc.constant(64), seed }),
  async ({ vocab, seed }, { run }) => {
    const logits = floats(seed, vocab)
    const many = await draws(run, logits, 40, seed, open)
    assert.deepEqual(await draws(run, logits, 20, seed, open), many.slice(0, 20))
    assert.notDeepEqual(await draws(run, logits, 40, seed + 1, open), many)
    assert.ok(new Set(many).size > 5)
  },
)

property(
  "sample and argmax read rows of a large vocabulary to their ends",
  fc.record({ vocab: fc.integer({ min: 65_536, max: 100_000 }), seed }),
  async ({ vocab, seed }, { run }) => {
    const logits = floats(seed, vocab)
    logits[vocab - 1] = 2.5
    const { out } = await run(argmax, { axes: { rows: 1, n: vocab }, given: { x: logits } })
    assert.deepEqual([...out!], [vocab - 1])
    // A count decides what is kept, so that devices agree.
    const options = { ...open, temperature: 0.5, topK: 40 }
    const drawn = await draws(run, logits, 4, seed, options)
    assert.deepEqual(drawn, await draws(twin, logits, 4, seed, options))
  },
  0.1,
)
