/** Tiled weights: the same numbers in another order, and the kernels that read them. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { add } from "../../kernels/add.ts"
import { embed } from "../../kernels/embed.ts"
import { gatedGelu, gatedSilu } from "../../kernels/gated.ts"
import { gelu } from "../../kernels/gelu.ts"
import { gemm } from "../../kernels/gemm.ts"
import { gemv } from "../../kernels/gemv.ts"
import { gemvAdd } from "../../kernels/gemv_add.ts"
import { linear } from "../../kernels/linear.ts"
import { gemmF32, gemvF32 } from "../../kernels/linear_f32.ts"
import { mul } from "../../kernels/mul.ts"
import { silu } from "../../kernels/silu.ts"
import { columnsOf, storedOf, tile, tileds, untile } from "../../kernels/tile.ts"
import type { Tiled } from "../../kernels/kernel.ts"
import { formats } from "../../lib/tensor/DType.ts"
import { close, property, twin } from "./harness.ts"
import { floats, integers, seed, stored, upTo } from "./values.ts"

const sizes = fc.record({ rows: upTo(9), n: upTo(4), k: upTo(5), seed }).map((given) => ({
  ...given,
  n: 32 * given.n,
  k: 32 * given.k,
}))

/** Columns of whole tiles. */
const whole = (dtype: Tiled, k: number): number => {
  const columns = columnsOf[storedOf[dtype]]
  return Math.ceil(k / columns) * columns
}

test("tile and untile are inverse, and a tile is as long as its blocks", () => {
  fc.assert(fc.property(sizes, fc.constantFrom(...tileds), ({ n, seed, ...given }, dtype) => {
    const k = whole(dtype, given.k)
    const weight = stored(storedOf[dtype], seed, n * k)
    const tiles = tile(storedOf[dtype], weight as Uint16Array | Uint8Array, n, k)
    assert.deepEqual(untile(dtype, tiles, n, k), weight)
    assert.equal(tiles.byteLength, n * k / formats[dtype].elements * formats[dtype].bytes)
    assert.equal(tiles.byteLength, weight.byteLength)
  }))
})

for (const dtype of tileds) {
  property(`gemv and gemm of ${dtype} weights agree with linear of stored ones`, sizes, async (
    { rows, n, seed, ...given },
    { run, tolerance },
  ) => {
    const k = whole(dtype, given.k)
    const x = floats(seed, rows * k)
    const weight = stored(storedOf[dtype], seed + 1, n * k) as Uint16Array | Uint8Array
    const tiles = tile(storedOf[dtype], weight, n, k)
    const axes = { rows, n, k }
    const { out } = await twin(linear[storedOf[dtype]], { axes, given: { x, weight } })
    for (const kernel of [gemv[dtype], gemm[dtype]]) {
      const made = await run(kernel, { axes, given: { x, weight: tiles } })
      if (run === twin) assert.deepEqual(made["out"], out)
      close(made["out"]!, out!, tolerance * Math.sqrt(k), kernel.spec.name)
    }
  })

  property(`embed reads rows of a ${dtype} table exactly`, sizes, async (given, { run }) => {
    const { rows: tokens, n: vocab, seed } = given
    const d = whole(dtype, given.k)
    const table = stored(storedOf[dtype], seed, vocab * d) as Uint16Array | Uint8Array
    const ids = integers(seed, tokens, 2 * vocab)
    const axes = { tokens, vocab, d }
    const params = { first: seed % vocab } // so that some ids are of other parts, on both sides
    const { out } = await twin(embed[storedOf[dtype]], { axes, given: { ids, table }, params })
    const tiles = tile(storedOf[dtype], table, vocab, d)
    const made = await run(embed[dtype], { axes, given: { ids, table: tiles }, params })
    close(made["out"]!, out!, 1e-7, "out")
  }, 0.5)
}

property(
  "gemm has a thread for every four rows, also of more than one workgroup",
  fc.record({ seed }),
  async ({ seed }, { run, tolerance }) => {
    const axes = { rows: 33, n: 128, k: 32 }
    const x = floats(seed, 33 * 32), weight = stored("q8_0", seed + 1, 128 * 32) as Uint8Array
    const { out } = await twin(linear.q8_0, { axes, given: { x, weight } })
    const tiles = tile("q8_0", weight, 128, 32)
    const made = await run(gemm.q8_0_tiled, { axes, given: { x, weight: tiles } })
    close(made["out"]!, out!, tolerance * Math.sqrt(32), "out")
  },
  0.2,
)

// The last two are one more than workgroups have threads for.
const ragged = fc.record({
  size: fc.oneof(
    fc.record({ rows: upTo(9), n: upTo(40) }),
    fc.constantFrom({ rows: 1, n: 257 }, { rows: 65, n: 5 }),
  ),
  k: upTo(20),
  seed,
}).map(({ size, ...rest }) => ({ ...size, ...rest }))

property("gemv and gemm of f32 weights take any rows", ragged, async (given, runner) => {
  const { rows, n, seed } = given
  const k = 4 * given.k
  const x = floats(seed, rows * k), weight = floats(seed + 1, n * k)
  const axes = { rows, n, k }
  const { out } = await twin(linear.f32, { axes, given: { x, weight } })
  for (const kernel of [gemvF32, gemmF32]) {
    const made = await runner.run(kernel, { axes, given: { x, weight } })
    close(made["out"]!, out!, runner.tolerance * Math.sqrt(k), kernel.spec.name)
  }
})

for (const dtype of tileds) {
  property(
    `gemv_add, gated_silu and gated_gelu of ${dtype} weights are their parts in turn`,
    sizes,
    async (
      { rows, n, seed, ...given },
      { run, tolerance },
    ) => {
      const k = whole(dtype, given.k)
      const x = floats(seed, rows * k), residual = floats(seed + 1, rows * n)
      const weights = [2, 3].map((i) => stored(storedOf[dtype], seed + i, n * k))
      const [gate, up] = weights.map((w) => tile(storedOf[dtype], w as Uint8Array, n, k))
      const axes = { rows, n, k }
      const [a, b] = await Promise.all(
        weights.map((weight) => twin(linear[storedOf[dtype]], { axes, given: { x, weight } })),
      )
      const sum = await twin(add, { axes: { n: rows * n }, given: { a: residual, b: a!["out"]! } })
      const added = await run(gemvAdd[dtype], { axes, given: { x, weight: gate!, residual } })
      if (run === twin) assert.deepEqual(added["out"], sum["out"])
      close(added["out"]!, sum["out"]!, tolerance * Math.sqrt(k), "gemv_add")
      // The error of one factor times the other.
      const largest = Math.max(1, ...[...a!["out"]!, ...b!["out"]!].map(Math.abs))
      for (const [kernels, activation] of [[gatedSilu, silu], [gatedGelu, gelu]] as const) {
        const open = await twin(activation, { axes: { n: rows * n }, given: { x: a!["out"]! } })
        const product = await twin(mul, {
          axes: { n: rows * n },
          given: { a: open["out"]!, b: b!["out"]! },
        })
        const through = await run(kernels[dtype], { axes, given: { x, gate: gate!, up: up! } })
        if (run === twin) assert.deepEqual(through["out"], product["out"])
        const { name } = kernels[dtype].spec
        close(through["out"]!, product["out"]!, tolerance * Math.sqrt(k) * largest, name)
      }
    },
    0.5,
  )
}
