/** Another dtype, and values of the host. @module */
import { type Effect, Result } from "effect"
import { type From, fromF32, type Into, toF32 } from "../../kernels/cast.ts"
import { workgroup } from "../../kernels/grid.ts"
import type { ShapeMismatch } from "../errors.ts"
import { wholeBlocks } from "./blocks.ts"
import type { ArrayOf, DType, Scaled, Tiled } from "./DType.ts"
import * as Recording from "./Recording.ts"
import type * as Shape from "./Shape.ts"
import type { Op, Tensor } from "./value.ts"

/** What a dtype converts to: everything but tiles and rows under scales to f32, f32 to every unquantised one. */
export type CastTo<D extends DType> = [D] extends ["f32"] ? Into | "f32"
  : [Extract<D, Tiled | Scaled>] extends [never] ? "f32"
  : never

/** The plain function under `cast`. */
export const castTo = <D extends DType, A extends string, T extends CastTo<D>>(
  rec: Recording.Open,
  x: Tensor<D, A>,
  dtype: T,
): Result.Result<Tensor<T, A>, ShapeMismatch> => {
  const bad = wholeBlocks("x", x)
  if (bad !== undefined) return Result.fail(bad)
  const rest = { writes: { out: x }, params: {}, overrides: workgroup }
  const cast = (): Result.Result<Tensor<DType, A>, ShapeMismatch> => {
    const from: DType = x.dtype, into: DType = dtype
    if (from === into) return Result.succeed(x)
    // `CastTo` has left these two cases; the compiler does not narrow a type parameter by a value.
    const made = into === "f32"
      ? Recording.launchTo(rec, toF32[from as From], {
        ...rest,
        reads: { x: x as Tensor<DType, A> as Tensor<From, A> },
      })
      : Recording.launchTo(rec, fromF32[into as Into], {
        ...rest,
        reads: { x: x as Tensor<DType, A> as Tensor<"f32", A> },
      })
    return Result.map<{ readonly out: Tensor<DType, A> }, ShapeMismatch, Tensor<DType, A>>(
      made,
      ({ out }) => out,
    )
  }
  // A launch types its output by the family; the member chosen wrote `dtype`.
  return Result.map(cast(), (out) => ({ ...out, dtype } as Tensor<T, A>))
}

/**
 * The same values stored as `dtype`: anything to f32, or f32 to f16 or bf16 (to nearest, ties to even) or to
 * i32 or u32 (towards zero, clamped to the range). To its own dtype it is free.
 */
export const cast = <D extends DType, A extends string, T extends CastTo<D>>(
  x: Tensor<D, A>,
  dtype: T,
): Op<T, A> => Recording.op((rec) => castTo(rec, x, dtype))

/** Host values as a tensor of this recording, row-major; `data` must not change before the run ends. */
export const constant = <D extends DType, const A extends string>(
  dtype: D,
  axes: A,
  sizes: NoInfer<Shape.Sizes<A>>,
  data: ArrayOf[NoInfer<D>],
): Effect.Effect<Tensor<D, A>, ShapeMismatch, Recording.Recording> =>
  Recording.op(() => Recording.constant(dtype, axes, sizes, data))
