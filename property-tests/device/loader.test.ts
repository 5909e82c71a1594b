/** Weights come to a device a part at a time, and are there as they were stored. @module */
import assert from "node:assert/strict"
import { Buffer } from "node:buffer"
import { test } from "node:test"
import { Effect } from "effect"
import type { Weight } from "../../kernels/decode.ts"
import { isTiled, untile } from "../../kernels/tile.ts"
import * as Loader from "../../lib/device/loader.ts"
import { partsOf } from "../../lib/tensor/Matrix.ts"
import { DType, Gpu } from "../../mod.ts"
import { everywhere } from "./everywhere.ts"

/** Some bytes, the same each time. */
const noise = (length: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length }, (_, i) => Math.imul(i + 1, 2654435761) >>> 24)

/** What lies on the device, as stored. */
const back = Effect.fnUntraced(function* (matrix: Parameters<typeof partsOf>[0]) {
  const out: Array<Uint8Array> = []
  for (const { dtype, shape: [n, k], ...rest } of partsOf(matrix)) {
    const data: DType.ArrayOf[DType.DType] = yield* Gpu.read({ dtype, shape: [n!, k!], ...rest })
    const stored = isTiled(dtype) ? untile(dtype, data as Uint32Array, n!, k!) : data
    out.push(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength))
  }
  return Buffer.concat(out)
})

/** Sizes whose bytes are no whole words, rows that are no whole tiles, and more than is read at a time. */
const cases: ReadonlyArray<readonly [Weight, n: number, k: number]> = [
  ["q8_0", 4_101, 1_056],
  ["q4_1", 70, 64],
  ["f16", 33, 32],
  ["q6_K", 3, 256],
  ["q5_0", 64, 32],
]

everywhere(
  "Loader.matrix() reads every byte once, in order and in parts, to where it belongs",
  () =>
    Effect.gen(function* () {
      yield* Effect.scoped(Effect.gen(function* () {
        const { limits, ...gpu } = yield* Gpu.Service
        for (const maxBufferBytes of [limits.maxBufferBytes, 2 ** 20]) {
          const small = { ...gpu, limits: { maxBufferBytes } }
          const loader = yield* Effect.provideService(Loader.make, Gpu.Service, small)
          for (const [dtype, n, k] of cases) {
            const all = noise(DType.bytes(dtype, n * k))
            let next = 0
            const fill: Loader.Fill<never> = (into, at) =>
              Effect.sync(() => {
                assert.equal(at, next)
                assert.ok(into.length <= 4 * 2 ** 20, `${into.length} bytes at a time`)
                into.set(all.subarray(at, next = at + into.length))
              })
            const made = yield* loader.matrix(dtype, "out in", { out: n, in: k }, fill)
            assert.equal(next, all.length)
            assert.ok((yield* back(made)).equals(all), `${dtype} [${n}, ${k}]`)
          }
          yield* loader.done
        }
      }))
      assert.deepEqual(yield* Gpu.live, { buffers: 0, bytes: 0 })
    }),
)

everywhere(
  "Gpu.upload() and uploadMatrix() copy: the caller may change the array afterwards",
  () =>
    Effect.scoped(Effect.gen(function* () {
      const data = Float32Array.of(1, 2, 3, 4)
      const vector = yield* Gpu.upload("f32", "n", { n: 4 }, data)
      const matrix = yield* Gpu.uploadMatrix("f32", "out in", { out: 2, in: 2 }, data)
      data.fill(9)
      assert.deepEqual([...yield* Gpu.read(vector)], [1, 2, 3, 4])
      assert.ok((yield* back(matrix)).equals(new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer)))
    })),
)

test("Gpu.uploadMatrix() refuses an array of another length", async () => {
  const upload = Gpu.uploadMatrix("q8_0", "out in", { out: 2, in: 32 }, new Uint8Array(67))
  const refused = await Effect.runPromise(
    Effect.provide(Effect.scoped(Effect.flip(upload)), Gpu.layerCpu()),
  )
  assert.equal(refused._tag, "ShapeMismatch")
  assert.match(refused.message, /68.*67/)
})
