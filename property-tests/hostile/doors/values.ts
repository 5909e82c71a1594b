/** Tensors and older values that doors are built with. @module */
import { Effect, Result, type Scope } from "effect"
import {
  Arena,
  Gpu,
  type GpuFault,
  KvCache,
  Layout,
  Lease,
  Program,
  Recording,
  type ShapeMismatch,
  type Tensor,
} from "../../../mod.ts"
import type { Owner } from "../door.ts"

const counted = (shape: ReadonlyArray<number>): Float32Array<ArrayBuffer> =>
  Float32Array.from(
    { length: shape.reduce((product, size) => product * size, 1) },
    (_, i) => (i % 17 - 8) / 8,
  )

/** A tensor of the recording that is open. */
export const tensor = <const A extends string>(
  axes: A,
  ...shape: ReadonlyArray<number>
): Tensor<"f32", A> => Recording.fresh("f32", axes, shape, counted(shape))

/** A tensor of the scope. */
export const floats = <const A extends string>(
  axes: A,
  ...shape: ReadonlyArray<number>
): Effect.Effect<Tensor<"f32", A>, ShapeMismatch | GpuFault, Gpu | Scope.Scope> => {
  const data = counted(shape)
  return Effect.map(
    Gpu.upload("f32", "n", { n: data.length }, data),
    (flat) => ({ ...flat, axes, shape }),
  )
}

/** Words of the scope. */
export const words = <const A extends string>(
  axes: A,
  shape: ReadonlyArray<number>,
  data: ReadonlyArray<number>,
): Effect.Effect<Tensor<"u32", A>, ShapeMismatch | GpuFault, Gpu | Scope.Scope> =>
  Effect.map(
    Gpu.upload("u32", "n", { n: data.length }, Uint32Array.from(data)),
    (flat) => ({ ...flat, axes, shape }),
  )

/** Placed, and held by a lease of the room: no call can make it stale. */
export const placed = (
  lease: Owner,
  caches: ReadonlyArray<KvCache>,
): Effect.Effect<void, unknown, Gpu> =>
  Effect.scoped(Lease.under(lease)(Program.run(KvCache.realize(caches))))

/** An arena for calls that need none: leases are of some arena. */
export const bare: Effect.Effect<Arena, unknown, Gpu | Scope.Scope> = Effect.suspend(() =>
  Arena.make(
    Result.getOrThrow(Layout.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 2 })),
    2,
  )
)

/** All rows of some caches, on the host. */
export const readCaches = (
  lease: Owner,
  caches: ReadonlyArray<KvCache>,
): Effect.Effect<unknown, unknown, Gpu> =>
  Effect.forEach(caches, (cache) =>
    Effect.scoped(
      Lease.under(lease)(Effect.flatMap(
        Program.run(KvCache.gather(cache)),
        ({ keys, values }) => Effect.all([Gpu.read(keys), Gpu.read(values)]),
      )),
    ))
