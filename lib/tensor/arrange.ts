/** The same elements, or some of them, in another place: slices, permutations, joins. Each is a copy. @module */
import { type Effect, Result } from "effect"
import { concat as concatKernel } from "../../kernels/concat.ts"
import { workgroup } from "../../kernels/grid.ts"
import { strided as stridedKernel } from "../../kernels/strided.ts"
import { InvalidArgument, ShapeMismatch } from "../errors.ts"
import * as Recording from "./Recording.ts"
import * as Shape from "./Shape.ts"
import type { Op, Tensor } from "./value.ts"

type Arranged<A extends string> = Effect.Effect<
  Tensor<"f32", A>,
  ShapeMismatch | InvalidArgument,
  Recording.Recording
>

/** Records the copy of up to four axes, each a size and a stride. */
const copy = <A extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", string>,
  out: Shape.Shaped<A>,
  offset: number,
  sizes: ReadonlyArray<number>,
  strides: ReadonlyArray<number>,
): Result.Result<Tensor<"f32", A>, ShapeMismatch> => {
  const size = (axis: number) => sizes[axis + sizes.length - 4] ?? 1
  const stride = (axis: number) => strides[axis + strides.length - 4] ?? 0
  return Result.map(
    Recording.launchTo(rec, stridedKernel, {
      reads: { x },
      writes: { out },
      params: {
        offset,
        size1: size(1),
        size2: size(2),
        size3: size(3),
        stride0: stride(0),
        stride1: stride(1),
        stride2: stride(2),
        stride3: stride(3),
      },
      overrides: workgroup,
    }),
    (made) => made.out,
  )
}

/** The plain function under `slice`. */
export const sliceTo = <A extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", A>,
  axis: Shape.AxisOf<NoInfer<A>>,
  from: number,
  to: number,
): Result.Result<Tensor<"f32", A>, ShapeMismatch | InvalidArgument> => {
  const at = Shape.words(x.axes).indexOf(axis)
  const whole = x.shape[at]!
  if (!(Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from <= to && to <= whole)) {
    const need = `a range within 0…${whole} of axis "${axis}"`
    return Result.fail(new InvalidArgument({ name: "slice", value: `${from}…${to}`, need }))
  }
  const inner = Shape.size(x.shape.slice(at + 1))
  const outer = Shape.size(x.shape.slice(0, at))
  const shape = x.shape.map((size, i) => i === at ? to - from : size)
  const sizes = [outer, to - from, inner]
  return copy(rec, x, { axes: x.axes, shape }, from * inner, sizes, [whole * inner, inner, 1])
}

/** Elements `from` … `to` − 1 of one axis. */
export const slice = <A extends string>(
  x: Tensor<"f32", A>,
  axis: Shape.AxisOf<NoInfer<A>>,
  from: number,
  to: number,
): Arranged<A> => Recording.op((rec) => sliceTo(rec, x, axis, from, to))

/** The plain function under `permute`. */
export const permuteTo = <A extends string, const Y extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", A>,
  axes: Shape.AxisOf<Y> extends Shape.AxisOf<A> ? Y : never,
): Result.Result<Tensor<"f32", Y>, ShapeMismatch | InvalidArgument> => {
  const names = Shape.words(x.axes)
  const order = Shape.words(axes).map((word) => names.indexOf(word))
  if (names.length > 4 || order.toSorted().join() !== [...names.keys()].join()) {
    const need = `the axes "${x.axes}" in another order, at most 4`
    return Result.fail(new InvalidArgument({ name: "axes", value: axes, need }))
  }
  if (order.every((from, i) => from === i)) return Result.succeed({ ...x, axes })
  const strides = names.map((_, i) => Shape.size(x.shape.slice(i + 1)))
  const shape = order.map((i) => x.shape[i]!)
  return copy<Y>(rec, x, { axes, shape }, 0, shape, order.map((i) => strides[i]!))
}

/** The same axes, at most four, in another order: `permute(x, "heads tokens headDim")`. To its own order it is free. */
export const permute = <A extends string, const Y extends string>(
  x: Tensor<"f32", A>,
  axes: Shape.AxisOf<Y> extends Shape.AxisOf<A> ? Y : never,
): Arranged<Y> => Recording.op((rec) => permuteTo<A, Y>(rec, x, axes))

/** A box of elements inside a tensor: `offset + i · strides[0] + j · strides[1] + …`. */
export interface Box {
  readonly offset: number
  /** Of up to four axes, in elements. */
  readonly strides: ReadonlyArray<number>
  /** As many sizes. */
  readonly shape: ReadonlyArray<number>
}

/** Elements of a tensor that a box names, in any order and as often as it says; no offset may leave the tensor. */
export const strided = <const A extends string>(
  x: Tensor<"f32", string>,
  axes: A,
  { offset, strides, shape }: Box,
): Arranged<A> =>
  Recording.op((rec): Result.Result<Tensor<"f32", A>, ShapeMismatch | InvalidArgument> => {
    const ranks = [Shape.words(axes).length, strides.length, shape.length]
    const counts = [offset, ...strides, ...shape]
    const wrong = (name: string, value: number | string, need: string) =>
      Result.fail(new InvalidArgument({ name, value, need }))
    if (ranks.some((rank) => rank !== ranks[0] || rank > 4)) {
      return wrong("axes, strides and sizes", ranks.join(", "), "equally many, at most 4")
    }
    if (counts.some((n) => !(Number.isSafeInteger(n) && n >= 0))) {
      return wrong("a box", counts.join(" "), "whole numbers, at least 0")
    }
    const size = Shape.size(x.shape)
    const last = shape.reduce((at, n, i) => at + (n - 1) * strides[i]!, offset)
    if (Shape.size(shape) > 0 && last >= size) {
      return wrong("the last offset of a box", last, `below ${size}, the elements of [${x.axes}]`)
    }
    return copy<A>(rec, x, { axes, shape }, offset, shape, strides)
  })

/** The plain function under `concat`. */
export const concatTo = <A extends string>(
  rec: Recording.Open,
  a: Tensor<"f32", A>,
  b: Tensor<"f32", NoInfer<A>>,
  axis: Shape.AxisOf<NoInfer<A>>,
): Result.Result<Tensor<"f32", A>, ShapeMismatch> => {
  const names = Shape.words(a.axes)
  const at = names.indexOf(axis)
  const other = names.findIndex((_, i) => i !== at && a.shape[i] !== b.shape[i])
  if (other >= 0) {
    const [expected, actual] = [a.shape[other]!, b.shape[other]!]
    return Result.fail(new ShapeMismatch({ tensor: "b", axis: names[other]!, expected, actual }))
  }
  const shape = a.shape.map((size, i) => i === at ? size + b.shape[i]! : size)
  return Result.map(
    Recording.launchTo(rec, concatKernel, {
      reads: { a, b },
      writes: { out: { axes: a.axes, shape } },
      params: { aRun: Shape.size(a.shape.slice(at)), bRun: Shape.size(b.shape.slice(at)) },
      overrides: workgroup,
    }),
    (made) => made.out,
  )
}

/** `b` after `a` along one axis; all others are equal. */
export const concat = <A extends string>(
  a: Tensor<"f32", A>,
  b: Tensor<"f32", NoInfer<A>>,
  axis: Shape.AxisOf<NoInfer<A>>,
): Op<"f32", A> => Recording.op((rec) => concatTo(rec, a, b, axis))
