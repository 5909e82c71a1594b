/** Rotary position embedding. @module */
import { type Effect, Result } from "effect"
import { workgroup } from "../../kernels/grid.ts"
import { type Pairing, rope as kernels } from "../../kernels/rope.ts"
import { InvalidArgument, type ShapeMismatch } from "../errors.ts"
import * as Recording from "./Recording.ts"
import type { Tensor } from "./value.ts"

export type { Pairing }

/** How positions become angles. */
export interface RopeOptions {
  /** Base of the frequencies: pair p turns by `position · theta^(-2p / rotary)`. */
  readonly theta: number
  /** `interleaved` turns (2i, 2i + 1), `half` turns (i, i + rotary / 2). */
  readonly pairing: Pairing
  /** Elements of each head that turn, from the first: even, at most all, which is the default. */
  readonly rotary?: number
}

/** The plain function under `rope`. */
export const ropeTo = <T extends string, H extends string, X extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", `${T} ${H} ${X}`>,
  positions: Tensor<"u32", NoInfer<T>>,
  { theta, pairing, rotary = x.shape.at(-1)! }: RopeOptions,
): Result.Result<Tensor<"f32", `${T} ${H} ${X}`>, ShapeMismatch | InvalidArgument> => {
  const d = x.shape.at(-1)!
  if (!(theta > 0)) {
    return Result.fail(new InvalidArgument({ name: "theta", value: theta, need: "above 0" }))
  }
  if (!(rotary >= 0 && rotary <= d && rotary % 2 === 0)) {
    const need = `even, and at most ${d}, the size of a head`
    return Result.fail(new InvalidArgument({ name: "rotary", value: rotary, need }))
  }
  return Result.map(
    Recording.launchTo(rec, kernels[pairing], {
      reads: { x, positions },
      writes: { out: x },
      params: { rotary, theta },
      overrides: workgroup,
    }),
    (made) => made.out,
  )
}

/** Turns each head of each token by the token's position: `x` is `[tokens, heads, headDim]`. */
export const rope = <T extends string, H extends string, X extends string>(
  x: Tensor<"f32", `${T} ${H} ${X}`>,
  positions: Tensor<"u32", NoInfer<T>>,
  options: RopeOptions,
): Effect.Effect<
  Tensor<"f32", `${T} ${H} ${X}`>,
  ShapeMismatch | InvalidArgument,
  Recording.Recording
> => Recording.op((rec) => ropeTo(rec, x, positions, options))
