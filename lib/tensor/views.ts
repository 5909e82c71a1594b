/** The same elements under other axis names: free, no launch, no copy. @module */
import { Result } from "effect"
import type { DType } from "../../kernels/kernel.ts"
import { ShapeMismatch } from "../errors.ts"
import * as Shape from "./Shape.ts"
import type { Tensor } from "./value.ts"

/**
 * Splits one axis in several: `"tokens qDim"` with `qDim` into `"numQHeads headDim"`.
 * Fails unless the sizes multiply to the axis.
 */
export const split = <
  D extends DType,
  A extends string,
  X extends Shape.AxisOf<A>,
  const Y extends string,
>(
  x: Tensor<D, A>,
  axis: X,
  into: Y,
  sizes: NoInfer<Shape.Sizes<Y>>,
): Result.Result<Tensor<D, Shape.Replace<A, X, Y>>, ShapeMismatch> => {
  const at = Shape.words(x.axes).indexOf(axis)
  const parts = Shape.of(into, sizes).shape
  const bad = Shape.wholeError(`[${x.axes}]`, { axes: into, shape: parts })
  if (bad !== undefined) return Result.fail(bad)
  const expected = Shape.size(parts)
  if (x.shape[at] !== expected) {
    return Result.fail(
      new ShapeMismatch({ tensor: `[${x.axes}]`, axis, expected, actual: x.shape[at] ?? 0 }),
    )
  }
  return Result.succeed({
    ...x,
    axes: Shape.words(x.axes).map((word) => word === axis ? into : word).join(
      " ",
    ) as Shape.Replace<A, X, Y>,
    shape: [...x.shape.slice(0, at), ...parts, ...x.shape.slice(at + 1)],
  })
}

/** Joins the last axes in one: `"tokens numQHeads headDim"` with `"numQHeads headDim"` into `"qDim"`. */
export const join = <D extends DType, H extends string, X extends string, const Y extends string>(
  x: Tensor<D, `${H} ${X}`>,
  axes: X,
  into: Y,
): Tensor<D, `${H} ${Y}`> => {
  const n = Shape.words(axes).length
  const kept = x.shape.length - n
  return {
    ...x,
    axes: [...Shape.words(x.axes).slice(0, kept), into].join(" ") as `${H} ${Y}`,
    shape: [...x.shape.slice(0, kept), Shape.size(x.shape.slice(kept))],
  }
}

/** The same tensor under another axis name. */
export const rename = <
  D extends DType,
  A extends string,
  X extends Shape.AxisOf<A>,
  const Y extends string,
>(
  x: Tensor<D, A>,
  from: X,
  to: Y,
): Tensor<D, Shape.Replace<A, X, Y>> => ({
  ...x,
  axes: Shape.words(x.axes).map((word) => word === from ? to : word).join(" ") as Shape.Replace<
    A,
    X,
    Y
  >,
})

/** The same elements, in the same order, under other axes; fails unless there are as many. */
export const reshape = <D extends DType, const A extends string>(
  x: Tensor<D, string>,
  axes: A,
  sizes: NoInfer<Shape.Sizes<A>>,
): Result.Result<Tensor<D, A>, ShapeMismatch> => {
  const { shape } = Shape.of(axes, sizes)
  const bad = Shape.wholeError(`[${x.axes}]`, { axes, shape })
  if (bad !== undefined) return Result.fail(bad)
  const [expected, actual] = [Shape.size(shape), Shape.size(x.shape)]
  return expected === actual
    ? Result.succeed({ ...x, axes, shape })
    : Result.fail(new ShapeMismatch({ tensor: `[${x.axes}]`, axis: axes, expected, actual }))
}

/** Names the axes of a tensor whose names are not known to the compiler; checks every size. */
export const as = <D extends DType, const A extends string>(
  x: Tensor<D, string>,
  axes: A,
  sizes: NoInfer<Shape.Sizes<A>>,
): Result.Result<Tensor<D, A>, ShapeMismatch> => {
  const named: Tensor<D, A> = { ...x, axes }
  return Result.map(Shape.bind({ expected: Shape.of(axes, sizes), x: named }), () => named)
}
