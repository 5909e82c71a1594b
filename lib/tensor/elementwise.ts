/** Element by element: same axes in, same axes out. @module */
import { type Effect, Result } from "effect"
import { dual } from "effect/Function"
import { add as addKernel } from "../../kernels/add.ts"
import { addBias as addBiasKernel } from "../../kernels/add_bias.ts"
import { gelu as geluKernel } from "../../kernels/gelu.ts"
import { workgroup } from "../../kernels/grid.ts"
import { mul as mulKernel } from "../../kernels/mul.ts"
import { scale as scaleKernel } from "../../kernels/scale.ts"
import { silu as siluKernel } from "../../kernels/silu.ts"
import { InvalidArgument, type ShapeMismatch } from "../errors.ts"
import { inF32, isF32 } from "./numbers.ts"
import * as Recording from "./Recording.ts"
import * as Shape from "./Shape.ts"
import type { Op, Tensor } from "./value.ts"

type Binary = <A extends string>(
  rec: Recording.Open,
  self: Tensor<"f32", A>,
  that: Tensor<"f32", NoInfer<A>>,
) => Result.Result<Tensor<"f32", A>, ShapeMismatch>

interface BinaryOp {
  <A extends string>(that: Tensor<"f32", A>): (self: Tensor<"f32", NoInfer<A>>) => Op<"f32", A>
  <A extends string>(self: Tensor<"f32", A>, that: Tensor<"f32", NoInfer<A>>): Op<"f32", A>
}

const binary = (kernel: typeof addKernel | typeof mulKernel): Binary => (rec, self, that) => {
  // The kernel sees one axis of n elements; that the shapes agree is seen here.
  const bound = Shape.bind({ self, that })
  if (Result.isFailure(bound)) return Result.fail(bound.failure)
  return Result.map(
    Recording.launchTo<typeof addKernel.spec | typeof mulKernel.spec, { out: typeof self }>(
      rec,
      kernel,
      { reads: { a: self, b: that }, writes: { out: self }, params: {}, overrides: workgroup },
    ),
    (made) => made.out,
  )
}

/** The plain function under `add`. */
export const addTo: Binary = binary(addKernel)
/** The plain function under `mul`. */
export const mulTo: Binary = binary(mulKernel)

/** `self + that`, same axes and sizes: nothing is broadcast. */
export const add: BinaryOp = dual(
  2,
  <A extends string>(self: Tensor<"f32", A>, that: Tensor<"f32", NoInfer<A>>): Op<"f32", A> =>
    Recording.op((rec) => addTo(rec, self, that)),
)

/** `self · that`, same axes and sizes: nothing is broadcast. */
export const mul: BinaryOp = dual(
  2,
  <A extends string>(self: Tensor<"f32", A>, that: Tensor<"f32", NoInfer<A>>): Op<"f32", A> =>
    Recording.op((rec) => mulTo(rec, self, that)),
)

type Unary = <A extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", A>,
) => Result.Result<Tensor<"f32", A>, ShapeMismatch>

const unary = (kernel: typeof siluKernel | typeof geluKernel): Unary => (rec, x) =>
  Result.map(
    Recording.launchTo<typeof siluKernel.spec | typeof geluKernel.spec, { out: typeof x }>(
      rec,
      kernel,
      { reads: { x }, writes: { out: x }, params: {}, overrides: workgroup },
    ),
    (made) => made.out,
  )

/** The plain function under `silu`. */
export const siluTo: Unary = unary(siluKernel)
/** The plain function under `gelu`. */
export const geluTo: Unary = unary(geluKernel)

/** `x · sigmoid(x)`. */
export const silu = <A extends string>(x: Tensor<"f32", A>): Op<"f32", A> =>
  Recording.op((rec) => siluTo(rec, x))

/** GELU by its tanh approximation. */
export const gelu = <A extends string>(x: Tensor<"f32", A>): Op<"f32", A> =>
  Recording.op((rec) => geluTo(rec, x))

/** The plain function under `scale`. */
export const scaleTo = <A extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", A>,
  factor: number,
): Result.Result<Tensor<"f32", A>, ShapeMismatch | InvalidArgument> => {
  if (!isF32(factor)) {
    const need = inF32("finite", factor)
    return Result.fail(new InvalidArgument({ name: "factor", value: factor, need }))
  }
  return Result.map(
    Recording.launchTo(rec, scaleKernel, {
      reads: { x },
      writes: { out: x },
      params: { factor },
      overrides: workgroup,
    }),
    (made) => made.out,
  )
}

/** `factor · x`. */
export const scale = <A extends string>(
  x: Tensor<"f32", A>,
  factor: number,
): Effect.Effect<Tensor<"f32", A>, ShapeMismatch | InvalidArgument, Recording.Recording> =>
  Recording.op((rec) => scaleTo(rec, x, factor))

/** The plain function under `addBias`. */
export const addBiasTo = <A extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", A>,
  bias: Tensor<"f32", Shape.Last<NoInfer<A>>>,
): Result.Result<Tensor<"f32", A>, ShapeMismatch> =>
  Result.map(
    Recording.launchTo(rec, addBiasKernel, {
      reads: { x, bias },
      writes: { out: x },
      params: {},
      overrides: workgroup,
    }),
    (made) => made.out,
  )

/** Adds one number to each element of the last axis: `bias` has that axis alone. */
export const addBias = <A extends string>(
  x: Tensor<"f32", A>,
  bias: Tensor<"f32", Shape.Last<NoInfer<A>>>,
): Op<"f32", A> => Recording.op((rec) => addBiasTo(rec, x, bias))
