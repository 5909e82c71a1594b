/** From rows of logits to ids. @module */
import { type Effect, Result } from "effect"
import { argmax as argmaxKernel } from "../../kernels/argmax.ts"
import { workgroup } from "../../kernels/grid.ts"
import { sample as sampleKernel } from "../../kernels/sample.ts"
import { InvalidArgument, ShapeMismatch } from "../errors.ts"
import { inF32, isAboveF32, isF32, mostWord } from "./numbers.ts"
import * as Recording from "./Recording.ts"
import * as Shape from "./Shape.ts"
import type { Op, Tensor } from "./value.ts"

/** An axis string without its last axis. */
export type Init<A extends string> = A extends `${infer H} ${infer T}`
  ? T extends `${string} ${string}` ? `${H} ${Init<T>}` : H
  : never

const init = <A extends string>(x: Shape.Shaped<A>): Shape.Shaped<Init<A>> => ({
  axes: Shape.words(x.axes).slice(0, -1).join(" ") as Init<A>,
  shape: x.shape.slice(0, -1),
})

/**
 * More lanes for long rows: lavapipe leaves its loops, and says nothing, when a thread has gone round 65,535
 * times in all of them together (its LP_MAX_TGSI_LOOP_ITERATIONS), and `sample` reads a row up to 19 times.
 */
const lanes = (n: number): { readonly WG: number } => n > 2 ** 17 ? { WG: 128 } : workgroup

/** Fails where there is nothing to choose from. */
const some = (x: Tensor<"f32", string>): ShapeMismatch | undefined =>
  x.shape.at(-1) === 0
    ? new ShapeMismatch({ tensor: "x", axis: Shape.words(x.axes).at(-1)!, expected: 1, actual: 0 })
    : undefined

/** The plain function under `argmax`. */
export const argmaxTo = <A extends `${string} ${string}`>(
  rec: Recording.Open,
  x: Tensor<"f32", A>,
): Result.Result<Tensor<"u32", Init<A>>, ShapeMismatch> => {
  const none = some(x)
  if (none !== undefined) return Result.fail(none)
  return Result.map(
    Recording.launchTo(rec, argmaxKernel, {
      reads: { x },
      writes: { out: init<A>(x) },
      params: {},
      overrides: lanes(x.shape.at(-1)!),
    }),
    (made) => made.out,
  )
}

/** Index of the largest element of the last axis, of equal ones the first. */
export const argmax = <A extends `${string} ${string}`>(x: Tensor<"f32", A>): Op<"u32", Init<A>> =>
  Recording.op((rec) => argmaxTo(rec, x))

/** How to draw, in the order in which it is applied. */
export interface SampleOptions {
  /** Divides the logits; above 0. */
  readonly temperature: number
  /** Keeps the so many largest; 0, the default, keeps all. */
  readonly topK?: number
  /** Keeps the fewest that hold so much of the probability, renormalised; 1, the default, keeps all. */
  readonly topP?: number
  /** Keeps those at least so probable, relative to the first; 0, the default, keeps all. */
  readonly minP?: number
}

const invalid = (
  { temperature, topK = 0, topP = 1, minP = 0 }: SampleOptions,
): InvalidArgument | undefined => {
  const wrong = (name: string, value: number, need: string) =>
    new InvalidArgument({ name, value, need })
  if (!isAboveF32(temperature)) {
    return wrong("temperature", temperature, inF32("above 0 and finite", temperature))
  }
  if (!(Number.isInteger(topK) && topK >= 0)) return wrong("topK", topK, "a whole number from 0 on")
  if (!(isF32(topP) && topP > 0 && topP <= 1)) return wrong("topP", topP, "above 0 and at most 1")
  if (!(isF32(minP) && minP >= 0 && minP <= 1)) return wrong("minP", minP, "between 0 and 1")
}

/** The plain function under `sample`. */
export const sampleTo = <A extends `${string} ${string}`, P extends string>(
  rec: Recording.Open,
  logits: Tensor<"f32", A>,
  noise: Tensor<"u32", `${Init<NoInfer<A>>} ${P}`>,
  options: SampleOptions,
): Result.Result<Tensor<"u32", Init<A>>, ShapeMismatch | InvalidArgument> => {
  const bad = invalid(options) ?? some(logits)
  if (bad !== undefined) return Result.fail(bad)
  const actual = noise.shape.at(-1)!
  if (actual !== 2) {
    const axis = `${Shape.words(noise.axes).at(-1)} (seed, position)`
    return Result.fail(new ShapeMismatch({ tensor: "noise", axis, expected: 2, actual }))
  }
  const { temperature, topK = 0, topP = 1, minP = 0 } = options
  return Result.map(
    Recording.launchTo(rec, sampleKernel, {
      reads: { logits, noise },
      writes: { out: init<A>(logits) },
      params: { temperature, topK: Math.min(topK, mostWord), topP, minP },
      overrides: lanes(logits.shape.at(-1)!),
    }),
    (made) => made.out,
  )
}

/**
 * Draws an id of the last axis of `logits`. `noise` holds a seed and the position of the token drawn, so that
 * a draw is a pure function of its arguments. Tokens equal to the last one that a filter keeps stay.
 */
export const sample = <A extends `${string} ${string}`, P extends string>(
  logits: Tensor<"f32", A>,
  noise: Tensor<"u32", `${Init<NoInfer<A>>} ${P}`>,
  options: SampleOptions,
): Effect.Effect<
  Tensor<"u32", Init<A>>,
  ShapeMismatch | InvalidArgument,
  Recording.Recording
> => Recording.op((rec) => sampleTo(rec, logits, noise, options))
