/** Operations in one launch where the device has a kernel for it, and in several where it has not. @module */
import { Result } from "effect"
import { type Activation, gatedGelu, gatedSilu } from "../../kernels/gated.ts"
import { gemvAdd } from "../../kernels/gemv_add.ts"
import { lanes } from "../../kernels/grid.ts"
import { isTiled } from "../../kernels/tile.ts"
import type { ShapeMismatch } from "../errors.ts"
import { addTo, geluTo, mulTo, siluTo } from "./elementwise.ts"
import { linearTo } from "./linear.ts"
import { contracted, type Matrix, type Tiled } from "./Matrix.ts"
import * as Recording from "./Recording.ts"
import * as Shape from "./Shape.ts"
import type { Op, Tensor } from "./value.ts"

/** A weight as one tiled tensor, which has kernels for one row of x. */
const whole = <A extends string>(
  x: Shape.Shaped<string>,
  w: Matrix<A>,
): Tensor<Tiled, A> | undefined =>
  "parts" in w || !isTiled(w.dtype) || Shape.size(x.shape.slice(0, -1)) !== 1
    ? undefined
    : w as Tensor<Tiled, A> // by its dtype

/** The plain function under `linearAdd`. */
export const linearAddTo = <A extends string, O extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", A>,
  w: Matrix<`${O} ${Shape.Last<A>}`>,
  residual: Tensor<"f32", Shape.ReplaceLast<A, O>>,
): Result.Result<Tensor<"f32", Shape.ReplaceLast<A, O>>, ShapeMismatch> => {
  const weight = whole(x, w)
  if (weight === undefined) {
    return Result.flatMap(linearTo<A, O>(rec, x, w), (out) => addTo(rec, residual, out))
  }
  return Result.map(
    Recording.launchTo(rec, gemvAdd[weight.dtype], {
      reads: { x, weight, residual },
      writes: { out: residual },
      params: {},
      overrides: lanes,
    }),
    (made) => made.out,
  )
}

/** `residual + linear(x, w)`. */
export const linearAdd = <A extends string, O extends string>(
  x: Tensor<"f32", A>,
  w: Matrix<`${O} ${Shape.Last<A>}`>,
  residual: Tensor<"f32", Shape.ReplaceLast<A, O>>,
): Op<"f32", Shape.ReplaceLast<A, O>> =>
  Recording.op((rec) => linearAddTo<A, O>(rec, x, w, residual))

export type { Activation }

const activations = {
  silu: { kernels: gatedSilu, to: siluTo },
  gelu: { kernels: gatedGelu, to: geluTo },
}

/** The plain function under `gated`. */
export const gatedTo = <A extends string, O extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", A>,
  gate: Matrix<`${O} ${Shape.Last<A>}`>,
  up: Matrix<`${O} ${Shape.Last<A>}`>,
  activation: Activation,
): Result.Result<Tensor<"f32", Shape.ReplaceLast<A, O>>, ShapeMismatch> => {
  const { kernels, to } = activations[activation]
  const [open, through] = [whole(x, gate), whole(x, up)]
  if (open === undefined || open.dtype !== through?.dtype) {
    return Result.gen(function* () {
      const opened = yield* to(rec, yield* linearTo<A, O>(rec, x, gate))
      return yield* mulTo(rec, opened, yield* linearTo<A, O>(rec, x, up))
    })
  }
  const out = contracted<A, O>(x, Shape.words(gate.axes)[0]!, gate.shape[0]!)
  return Result.map(
    Recording.launchTo(rec, kernels[open.dtype], {
      reads: { x, gate: open, up: through },
      writes: { out },
      params: {},
      overrides: lanes,
    }),
    (made) => made.out,
  )
}

/** `activation(linear(x, gate)) · linear(x, up)`. */
export const gated = <A extends string, O extends string>(
  x: Tensor<"f32", A>,
  gate: Matrix<`${O} ${Shape.Last<A>}`>,
  up: Matrix<`${O} ${Shape.Last<A>}`>,
  activation: Activation,
): Op<"f32", Shape.ReplaceLast<A, O>> =>
  Recording.op((rec) => gatedTo<A, O>(rec, x, gate, up, activation))
