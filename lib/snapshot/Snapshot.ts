/**
 * Caches that outlive their process: to bytes or to a folder, and back into any arena laid out alike.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { Effect, Result } from "effect"
 * import { Arena, Gpu, KvCache, Layout, Lease, Snapshot } from "@kvasir/kvasir"
 *
 * const sizes = { layers: 1, keyHeads: 1, keyDim: 2 }
 * const layout = Result.getOrThrow(Layout.make({ ...sizes, blockSize: 4 }))
 * const program = Effect.gen(function* () {
 *   const arena = yield* Arena.make(layout, 8)
 *   const rows = {
 *     keys: yield* Gpu.upload("f32", "layers tokens keyHeads keyDim", { ...sizes, tokens: 3 }, Float32Array.of(1, 2, 3, 4, 5, 6)),
 *     values: yield* Gpu.upload("f32", "layers tokens valueHeads valueDim", { layers: 1, tokens: 3, valueHeads: 1, valueDim: 2 }, Float32Array.of(6, 5, 4, 3, 2, 1)),
 *   }
 *   return yield* Lease.scoped(arena)(Effect.gen(function* () {
 *     const cache = yield* Effect.fromResult(KvCache.append(KvCache.empty(arena), rows))
 *     const bytes = yield* Snapshot.encode(yield* Snapshot.take(cache, { tokens: [7, 8, 9] }))
 *     const snapshot = yield* Effect.fromResult(Snapshot.decode(bytes))
 *     return yield* Snapshot.restore(arena, snapshot)
 *   }))
 * })
 * const { cache, tokens } = await Effect.runPromise(Effect.provide(Effect.scoped(program), Gpu.layerCpu()))
 * assert.deepEqual([cache.length, tokens], [3, [7, 8, 9]])
 * ```
 *
 * @module
 */
export * from "../cache/Snapshot.ts"
export { type About, take, type TakeError } from "./take.ts"
export { names, open, prune, save, type Saved, type SaveError } from "./folder.ts"
export { restore, type Restored, type RestoreError, type RestoreOptions } from "./restore.ts"
export * as Files from "./files.ts"
