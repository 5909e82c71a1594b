/**
 * Axis names, bound once to sizes, and their type-level words.
 *
 * @module
 */
import { Result } from "effect"
import type { AxisOf, Sizes } from "../../kernels/kernel.ts"
import { ShapeMismatch } from "../errors.ts"

export type { AxisOf, Sizes }

/** Last axis of an axis string. */
export type Last<A extends string> = A extends `${string} ${infer T}` ? Last<T> : A
/** First axis. */
export type First<A extends string> = A extends `${infer H} ${string}` ? H : A
/** `A` with its last axis replaced. */
export type ReplaceLast<A extends string, B extends string> = A extends `${infer H} ${infer T}`
  ? `${H} ${ReplaceLast<T, B>}`
  : B
/** `A` with axis `X` replaced by `Y`, which may be several words. */
export type Replace<A extends string, X extends string, Y extends string> = A extends
  `${infer H} ${infer T}` ? `${H extends X ? Y : H} ${Replace<T, X, Y>}`
  : A extends X ? Y
  : A

/** Anything with axes and a shape: a tensor, or a bare pair. */
export interface Shaped<A extends string> {
  /** Axis names, outermost first. */
  readonly axes: A
  /** One size for each axis. */
  readonly shape: ReadonlyArray<number>
}

type Bound<T extends Record<string, Shaped<string>>> = {
  readonly [K in { [P in keyof T]: AxisOf<T[P]["axes"]> }[keyof T]]: number
}

/**
 * Gives every axis name one size, or says which tensor, which axis and both numbers.
 *
 * @example
 * ```ts
 * import { Shape } from "@kvasir/kvasir"
 * const bound = Shape.bind({
 *   q: Shape.of("batch headDim", { batch: 2, headDim: 64 }),
 *   k: Shape.of("tokens headDim", { tokens: 9, headDim: 32 }),
 * }) // fails: Cannot bind axis "headDim" of k to 64: it is 32
 * ```
 */
export const bind = <const T extends Record<string, Shaped<string>>>(
  tensors: T,
): Result.Result<Bound<T>, ShapeMismatch> => {
  const sizes: Record<string, number> = {}
  for (const tensor in tensors) {
    const { axes, shape } = tensors[tensor]!
    const names = words(axes)
    if (names.length !== shape.length) {
      return Result.fail(
        new ShapeMismatch({
          tensor,
          axis: `${axes} (rank)`,
          expected: names.length,
          actual: shape.length,
        }),
      )
    }
    for (const [i, axis] of names.entries()) {
      const actual = shape[i]!
      const expected = sizes[axis] ??= actual
      if (expected !== actual) {
        return Result.fail(new ShapeMismatch({ tensor, axis, expected, actual }))
      }
    }
  }
  return Result.succeed(sizes as Bound<T>)
}

/** A shape from sizes by name, in the order of the axis string. */
export const of = <const A extends string>(axes: A, sizes: NoInfer<Sizes<A>>): Shaped<A> => ({
  axes,
  shape: words(axes).map((word) => (sizes as Record<string, number>)[word]!),
})

/**
 * What is wrong with a shape whose sizes are known, outermost first; undefined is any size. A shape of more axes is
 * another shape, even where they are of size 1. Internal.
 */
export const sizesError = (
  tensor: string,
  shape: ReadonlyArray<number>,
  sizes: { readonly [axis: string]: number | undefined },
): ShapeMismatch | undefined => {
  const axes = Object.keys(sizes)
  for (const [i, axis] of axes.entries()) {
    const [expected, actual] = [sizes[axis], shape[i] ?? 0]
    if (expected !== undefined && expected !== actual) {
      return new ShapeMismatch({ tensor, axis, expected, actual })
    }
  }
  const [expected, actual] = [axes.length, shape.length]
  if (expected === actual) return undefined
  return new ShapeMismatch({ tensor, axis: `${axes.join(" ")} (rank)`, expected, actual })
}

/** What is wrong with sizes of a caller's own: one is no size. Internal. */
export const wholeError = (
  tensor: string,
  { axes, shape }: Shaped<string>,
): ShapeMismatch | undefined => {
  const at = shape.findIndex((size) => !(Number.isSafeInteger(size) && size >= 0))
  const actual = shape[at]
  if (actual === undefined && at < 0) return undefined
  const axis = `${words(axes)[at]} (a whole number)`
  return new ShapeMismatch({
    tensor,
    axis,
    expected: Math.max(0, Math.round(actual ?? 0) || 0),
    actual: actual ?? NaN,
  })
}

/** Number of elements. */
export const size = (shape: ReadonlyArray<number>): number => {
  let n = 1
  for (const s of shape) n *= s
  return n
}

/** Words of an axis string. */
export const words = (axes: string): ReadonlyArray<string> => axes.split(" ")
