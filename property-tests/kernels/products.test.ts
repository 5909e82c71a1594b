/** linear, embed and matmul against sums in f64. @module */
import assert from "node:assert/strict"
import fc from "fast-check"
import { type Weight, weights } from "../../kernels/decode.ts"
import { embed } from "../../kernels/embed.ts"
import { linear } from "../../kernels/linear.ts"
import { matmul } from "../../kernels/matmul.ts"
import { formats } from "../../lib/tensor/DType.ts"
import { close, property } from "./harness.ts"
import { decoded, floats, integers, seed, stored, upTo } from "./values.ts"

const cases = fc.record({
  rows: upTo(9),
  n: upTo(19),
  k: fc.oneof(upTo(70), fc.constantFrom(64, 96, 192, 400)),
  seed,
})

/** Whole blocks, where there are any. */
const whole = (dtype: Weight, k: number): number =>
  Math.ceil(k / formats[dtype].elements) * formats[dtype].elements

const product = (
  a: (i: number, j: number) => number,
  b: (j: number, c: number) => number,
  [m, k, n]: readonly [number, number, number],
): ReadonlyArray<number> =>
  Array.from({ length: m * n }, (_, i) => {
    let sum = 0
    for (let j = 0; j < k; j++) sum += a(Math.floor(i / n), j) * b(j, i % n)
    return sum
  })

for (const dtype of weights) {
  property(`linear agrees with sums in f64 for ${dtype} weights`, cases, async (given, runner) => {
    const { rows, n } = given
    const k = whole(dtype, given.k)
    const x = floats(given.seed, rows * k)
    const weight = stored(dtype, given.seed + 1, n * k)
    const w = decoded(dtype, weight)
    const { out } = await runner.run(linear[dtype], { axes: { rows, k, n }, given: { x, weight } })
    const naive = product((r, j) => x[r * k + j]!, (j, c) => w[c * k + j]!, [rows, k, n])
    close(out!, naive, runner.tolerance * Math.sqrt(k), "out")
  }, dtype.startsWith("q") ? 1 : 0.5)

  property(
    `linear gives a row of ${dtype} the same bits alone and in a batch`,
    cases,
    async (given, { run }) => {
      const { rows, n } = given
      const k = whole(dtype, given.k)
      const x = floats(given.seed, rows * k)
      const weight = stored(dtype, given.seed + 1, n * k)
      const { out } = await run(linear[dtype], { axes: { rows, k, n }, given: { x, weight } })
      const row = given.seed % rows
      const alone = await run(linear[dtype], {
        axes: { rows: 1, k, n },
        given: { x: x.slice(row * k, (row + 1) * k), weight },
      })
      assert.deepEqual(alone["out"], out!.slice(row * n, (row + 1) * n))
    },
    0.5,
  )

  property(`embed reads rows of a ${dtype} table exactly`, cases, async (given, { run }) => {
    const { rows: tokens, n: vocab } = given
    const d = whole(dtype, given.k)
    const table = stored(dtype, given.seed, vocab * d)
    const ids = integers(given.seed, tokens, vocab)
    const first = given.seed % vocab // ids of the parts before it are below, of those after it above
    const { out } = await run(embed[dtype], {
      axes: { tokens, vocab, d },
      given: { ids: ids.map((id, i) => [id, first + vocab, id + first][i % 3]!), table },
      params: { first },
    })
    const all = decoded(dtype, table)
    const naive = Array.from(ids, (id, i) => {
      const row = [id - first, vocab, id][i % 3]!
      const inside = row >= 0 && row < vocab
      return inside ? all.slice(row * d, (row + 1) * d) : new Array<number>(d).fill(0)
    }).flat()
    close(out!, naive, 1e-7, "out")
  }, 0.5)
}

property("matmul agrees with sums in f64", cases, async (given, { run, tolerance }) => {
  const { rows: m, n, k } = given
  const a = floats(given.seed, m * k), b = floats(given.seed + 1, k * n)
  const { out } = await run(matmul, { axes: { m, k, n }, given: { a, b } })
  const naive = product((i, j) => a[i * k + j]!, (j, c) => b[j * n + c]!, [m, k, n])
  close(out!, naive, tolerance * Math.sqrt(k), "out")
})
