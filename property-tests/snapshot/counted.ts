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

const [layers, heads, dim] = [4, 2, 16]

/** Theirs. */
export const layout: Layout = Result.getOrThrow(
  Layout.make({ layers, keyHeads: heads, keyDim: dim, blockSize: 16 }),
)

/** Tokens that all of them begin with. */
export const shared = 64

/** Tokens of the cache of a number: the larger the number, the longer. */
export const tokensOf = (i: number): number => 256 + 64 * i

/** Numbers that no other `i` has anywhere, but for those of the tokens that they share. */
export const rowsOf = (i: number): Float32Array<ArrayBuffer> => {
  const row = heads * dim
  const count = tokensOf(i)
  return Float32Array.from({ length: layers * count * row }, (_, at) => {
    const [layer, token] = [Math.floor(at / row / count), Math.floor(at / row) % count]
    const unique = (layer * 1000 + token) * row + at % row
    return token < shared ? unique : 200_000 * (i + 1) + unique
  })
}

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
    const sizes = { layers, tokens: tokensOf(i), keyHeads: heads, keyDim: dim, valueHeads: heads }
    const given = { ...sizes, valueDim: dim }
    const keys = yield* Gpu.upload("f32", "layers tokens keyHeads keyDim", given, rowsOf(i))
    const values = yield* Gpu.upload("f32", "layers tokens valueHeads valueDim", given, rowsOf(i))
    return yield* Effect.fromResult(KvCache.append(KvCache.empty(arena), { keys, values }))
  })
