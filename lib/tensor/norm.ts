/** Normalisations of the last axis. @module */
import { type Effect, Result } from "effect"
import { workgroup } from "../../kernels/grid.ts"
import { rmsNorm as rmsNormKernel } from "../../kernels/rms_norm.ts"
import { softmax as softmaxKernel } from "../../kernels/softmax.ts"
import { InvalidArgument, type ShapeMismatch } from "../errors.ts"
import { inF32, isAboveF32 } from "./numbers.ts"
import * as Recording from "./Recording.ts"
import type * as Shape from "./Shape.ts"
import type { Op, Tensor } from "./value.ts"

/** The plain function under `rmsNorm`. */
export const rmsNormTo = <A extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", A>,
  weight: Tensor<"f32", Shape.Last<NoInfer<A>>>,
  { eps }: { readonly eps: number },
): Result.Result<Tensor<"f32", A>, ShapeMismatch | InvalidArgument> => {
  if (!isAboveF32(eps)) {
    const need = inF32("above 0", eps)
    return Result.fail(new InvalidArgument({ name: "eps", value: eps, need }))
  }
  return Result.map(
    Recording.launchTo(rec, rmsNormKernel, {
      reads: { x, weight },
      writes: { out: x },
      params: { eps },
      overrides: { WG: 32 }, // one row is little work: more lanes wait longer for each other
    }),
    (made) => made.out,
  )
}

/** `x · weight / √(mean of x² + eps)` over the last axis. */
export const rmsNorm = <A extends string>(
  x: Tensor<"f32", A>,
  weight: Tensor<"f32", Shape.Last<NoInfer<A>>>,
  options: { readonly eps: number },
): Effect.Effect<Tensor<"f32", A>, ShapeMismatch | InvalidArgument, Recording.Recording> =>
  Recording.op((rec) => rmsNormTo(rec, x, weight, options))

/** The plain function under `softmax`. */
export const softmaxTo = <A extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", A>,
): Result.Result<Tensor<"f32", A>, ShapeMismatch> =>
  Result.map(
    Recording.launchTo(rec, softmaxKernel, {
      reads: { x },
      writes: { out: x },
      params: {},
      overrides: workgroup,
    }),
    (made) => made.out,
  )

/** `exp(x) / Σ exp(x)` over the last axis. */
export const softmax = <A extends string>(x: Tensor<"f32", A>): Op<"f32", A> =>
  Recording.op((rec) => softmaxTo(rec, x))
