/** Snapshots are the same bytes whatever device made them, and each restores those of the others. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Arena, Gpu, KvCache, Layout, Lease, Snapshot } from "../../mod.ts"
import { adapters } from "../adapters.ts"

const shape = { layers: 2, keyHeads: 2, keyDim: 5, valueHeads: 1, valueDim: 4 }
const groups = [{ layers: [0], window: undefined }, { layers: [1], window: 9 }]

/** A snapshot made on a device, and what it makes of these bytes. */
const on = (dtype: Layout.Storage, blockSize: number, given?: Uint8Array) =>
  Effect.scoped(Effect.gen(function* () {
    const layout = yield* Effect.fromResult(Layout.make({ ...shape, groups, blockSize, dtype }))
    const arena = yield* Arena.make(layout, 16)
    const rows = (heads: number, dim: number) => {
      const length = 2 * 21 * heads * dim
      return Layout.givenAs(layout) === "f32"
        ? Float32Array.from({ length }, (_, i) => (i * 37 % 251 - 125) / 64)
        : Uint16Array.from({ length }, (_, i) => 0x3000 + i * 37 % 251)
    }
    const sizes = { ...shape, tokens: 21 }
    const stored = Layout.givenAs(layout)
    const keys = yield* Gpu.upload(stored, "layers tokens keyHeads keyDim", sizes, rows(2, 5))
    const values = yield* Gpu.upload(stored, "layers tokens valueHeads valueDim", sizes, rows(1, 4))
    return yield* Lease.scoped(arena)(Effect.gen(function* () {
      const cache = given === undefined
        ? Result.getOrThrow(
          Result.flatMap(
            KvCache.append(KvCache.empty(arena), { keys, values }),
            KvCache.dropBefore(13, 1),
          ),
        )
        : (yield* Snapshot.restore(arena, Result.getOrThrow(Snapshot.decode(given)))).cache
      return yield* Effect.flatMap(Snapshot.take(cache, { blockTokens: 8 }), Snapshot.encode)
    }))
  }))

for (const { name, layer } of adapters) {
  test(`Snapshot.take() and restore() give the same bytes on ${name} as on the CPU`, () =>
    Effect.runPromise(Effect.gen(function* () {
      for (const dtype of ["f32", "f16", "bf16", "int8"] as const) {
        const want = yield* Effect.provide(on(dtype, 5), Gpu.layerCpu())
        assert.deepEqual(yield* Effect.provide(on(dtype, 5), layer), want)
        assert.deepEqual(yield* Effect.provide(on(dtype, 16, want), layer), want)
      }
    })))
}
