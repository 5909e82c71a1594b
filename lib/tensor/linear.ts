/** Products that contract the last axis by name. @module */
import { Result } from "effect"
import type { Weight } from "../../kernels/decode.ts"
import { workgroup } from "../../kernels/grid.ts"
import { linear as kernels } from "../../kernels/linear.ts"
import { matmul as matmulKernel } from "../../kernels/matmul.ts"
import type { ShapeMismatch } from "../errors.ts"
import { wholeBlocks } from "./blocks.ts"
import * as Recording from "./Recording.ts"
import * as Shape from "./Shape.ts"
import type { Op, Tensor } from "./value.ts"

export type { Weight }

/** `x` with its last axis replaced. */
const contracted = <A extends string, N extends string>(
  x: Shape.Shaped<A>,
  axis: string,
  size: number,
): Shape.Shaped<Shape.ReplaceLast<A, N>> => ({
  axes: [...Shape.words(x.axes).slice(0, -1), axis].join(" ") as Shape.ReplaceLast<A, N>,
  shape: [...x.shape.slice(0, -1), size],
})

/** The plain function under `linear`. */
export const linearTo = <A extends string, O extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", A>,
  w: Tensor<Weight, `${O} ${Shape.Last<A>}`>,
): Result.Result<Tensor<"f32", Shape.ReplaceLast<A, O>>, ShapeMismatch> => {
  const bad = wholeBlocks("w", w)
  if (bad !== undefined) return Result.fail(bad)
  const out = contracted<A, O>(x, Shape.words(w.axes)[0]!, w.shape[0]!)
  return Result.map(
    Recording.launchTo(rec, kernels[w.dtype], {
      reads: { x, weight: w },
      writes: { out },
      params: {},
      overrides: workgroup,
    }),
    (made) => made.out,
  )
}

/**
 * Multiplies by a weight stored `[out, in]` in any form: the last axis of `x` is contracted by name, and the
 * first axis of `w` takes its place. The sums are f32 or better, and a row's result does not depend on the
 * other rows. Fails with `ShapeMismatch` also where rows of a quantised `w` are not whole blocks of 32.
 */
export const linear = <A extends string, O extends string>(
  x: Tensor<"f32", A>,
  w: Tensor<Weight, `${O} ${Shape.Last<A>}`>,
): Op<"f32", Shape.ReplaceLast<A, O>> => Recording.op((rec) => linearTo(rec, x, w))

/** The plain function under `matmul`. */
export const matmulTo = <A extends string, N extends string>(
  rec: Recording.Open,
  a: Tensor<"f32", A>,
  b: Tensor<"f32", `${Shape.Last<A>} ${N}`>,
): Result.Result<Tensor<"f32", Shape.ReplaceLast<A, N>>, ShapeMismatch> =>
  Result.map(
    Recording.launchTo(rec, matmulKernel, {
      reads: { a, b },
      writes: { out: contracted<A, N>(a, Shape.words(b.axes)[1]!, b.shape[1]!) },
      params: {},
      overrides: workgroup,
    }),
    (made) => made.out,
  )

/** The matrix product: the last axis of `a` is contracted by name with the first of `b`, which has two. */
export const matmul = <A extends string, N extends string>(
  a: Tensor<"f32", A>,
  b: Tensor<"f32", `${Shape.Last<A>} ${N}`>,
): Op<"f32", Shape.ReplaceLast<A, N>> => Recording.op((rec) => matmulTo(rec, a, b))
