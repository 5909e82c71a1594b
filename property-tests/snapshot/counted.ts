/** Caches that a number decides, for processes that save them and others that restore them. @module */
import { Effect, Result, type Scope } from "effect"
import {
  type Arena,
  type CapacityExceeded,
  type DTypeMismatch,
  Gpu,
  type GpuFault,
  type InvalidArgument,
  KvCache,
  Layout,
  type ShapeMismatch,
} from "../../mod.ts"

/** Theirs. */
export const layout: Layout = Result.getOrThrow(
  Layout.make({ layers: 4, keyHeads: 2, keyDim: 16, blockSize: 16 }),
)

/** Their tokens. */
export const tokens = 256

const sizes = { layers: 4, tokens, keyHeads: 2, keyDim: 16, valueHeads: 2, valueDim: 16 }

/** Numbers that no other `i` has anywhere. */
export const rowsOf = (i: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: 4 * tokens * 2 * 16 }, (_, at) => 100_000 * i + at)

/** The cache of a number, not placed yet; its keys are its values. */
export const cacheOf = (
  arena: Arena,
  i: number,
): Effect.Effect<
  KvCache,
  ShapeMismatch | DTypeMismatch | CapacityExceeded | InvalidArgument | GpuFault,
  Gpu | Scope.Scope
> =>
  Effect.gen(function* () {
    const keys = yield* Gpu.upload("f32", "layers tokens keyHeads keyDim", sizes, rowsOf(i))
    const values = yield* Gpu.upload("f32", "layers tokens valueHeads valueDim", sizes, rowsOf(i))
    return yield* Effect.fromResult(KvCache.append(KvCache.empty(arena), { keys, values }))
  })
