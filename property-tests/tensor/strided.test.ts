/** `Tensor.strided` reads a box of a tensor, and never past its end. */
import { Effect } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Gpu, Program, Tensor } from "../../mod.ts"
import { everywhere } from "../device/everywhere.ts"

const x = Tensor.constant(
  "f32",
  "n",
  { n: 24 },
  Float32Array.from({ length: 24 }, (_, i) => i),
)

everywhere(
  "Tensor.strided() reads the elements that a box names, in its order",
  () =>
    Effect.scoped(Effect.gen(function* () {
      const made = yield* Program.run(Effect.gen(function* () {
        const box = { offset: 23, strides: [0, 0], shape: [1, 1] }
        return [
          yield* Tensor.strided(yield* x, "a b c", {
            offset: 1,
            strides: [12, 1, 3],
            shape: [2, 2, 3],
          }),
          yield* Tensor.strided(yield* x, "a b", box),
          yield* Tensor.strided(yield* x, "a b", { ...box, offset: 99, shape: [0, 7] }),
        ]
      }))
      const read = yield* Effect.forEach(made, Gpu.read)
      assert.deepEqual(read.map((numbers) => [...numbers]), [
        [1, 4, 7, 2, 5, 8, 13, 16, 19, 14, 17, 20],
        [23],
        [],
      ])
      assert.deepEqual(made.map(({ shape }) => shape), [[2, 2, 3], [1, 1], [0, 7]])
    })),
)

test("Tensor.strided() refuses boxes that leave their tensor", async () => {
  const says = async (box: Tensor.Box, message: string) => {
    const tried = Program.run(Effect.flatMap(x, (one) => Tensor.strided(one, "a b", box)))
    const error = await Effect.runPromise(
      Effect.flip(Effect.scoped(tried)).pipe(Effect.provide(Gpu.layerCpu())),
    )
    assert.equal(error.message, `Cannot ${message}`)
  }
  await says(
    { offset: 1, strides: [12, 1], shape: [2, 12] },
    "take 24 as the last offset of a box: it must be below 24, the elements of [n]",
  )
  await says(
    { offset: -1, strides: [1, 1], shape: [1, 1] },
    "take -1 1 1 1 1 as a box: it must be whole numbers, at least 0",
  )
  await says(
    { offset: 0, strides: [1], shape: [1, 1] },
    "take 2, 1, 2 as axes, strides and sizes: it must be equally many, at most 4",
  )
})
