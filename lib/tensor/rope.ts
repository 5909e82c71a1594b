/** Rotary position embedding. @module */
import { type Effect, Result } from "effect"
import { workgroup } from "../../kernels/grid.ts"
import { type Pairing, rope as kernels } from "../../kernels/rope.ts"
import { turnsOf } from "../../kernels/turns.ts"
import { InvalidArgument, ShapeMismatch } from "../errors.ts"
import * as Recording from "./Recording.ts"
import type { Tensor } from "./value.ts"

export type { Pairing }

/** Elements of a head, many times more than any model has. */
const mostRotary = 65_536

/** How frequencies follow from a base. */
export interface TurnsOptions {
  /** Pair p turns by `theta^(-2p / rotary)` radians a position. */
  readonly theta: number
  /** Elements of a head that turn, from the first: even. */
  readonly rotary: number
  /** Divides the frequency of each pair, `[rotary / 2]`: how models stretch their context. Default: ones. */
  readonly factors?: ArrayLike<number>
}

/**
 * Frequencies as turns a position in 0.64 fixed point, `[pairs, 2]`: what `rope` reads. Angles are then right at
 * every position, whatever a device's `sin` and `cos` are. Upload them once.
 */
export const turns = (
  { theta, rotary, factors }: TurnsOptions,
): Result.Result<Uint32Array, InvalidArgument> => {
  const refuse = (name: string, value: number, need: string) =>
    Result.fail(new InvalidArgument({ name, value, need }))
  if (!(theta >= 1 && theta < Infinity)) return refuse("theta", theta, "at least 1, and finite")
  if (!(Number.isSafeInteger(rotary) && rotary >= 0 && rotary % 2 === 0)) {
    return refuse("rotary", rotary, "even: elements turn in pairs")
  }
  if (rotary > mostRotary) return refuse("rotary", rotary, `at most ${mostRotary}`)
  const pairs = rotary / 2
  if (factors !== undefined && factors.length !== pairs) {
    return refuse("the number of factors", factors.length, `${pairs}, one a pair`)
  }
  const frequencies = Array.from(
    { length: pairs },
    (_, p) => theta ** (-2 * p / rotary) / (factors?.[p] ?? 1),
  )
  const wrong = frequencies.find((f) => !(f > 0 && f < 2 * Math.PI))
  if (wrong !== undefined) return refuse("a frequency", wrong, "above 0 and below 2π a position")
  return Result.succeed(turnsOf(frequencies))
}

/** Which elements of a head turn together. */
export interface RopeOptions {
  /** `interleaved` turns (2i, 2i + 1), `half` turns (i, i + pairs). */
  readonly pairing: Pairing
}

/** The plain function under `rope`. */
export const ropeTo = <T extends string, H extends string, X extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", `${T} ${H} ${X}`>,
  positions: Tensor<"u32", NoInfer<T>>,
  turns: Tensor<"u32", "pairs two">,
  { pairing }: RopeOptions,
): Result.Result<Tensor<"f32", `${T} ${H} ${X}`>, ShapeMismatch> => {
  const [pairs, d] = [turns.shape[0]!, x.shape.at(-1)!]
  if (2 * pairs > d) {
    const axis = "pairs (of two elements)"
    return Result.fail(
      new ShapeMismatch({ tensor: "turns", axis, expected: Math.floor(d / 2), actual: pairs }),
    )
  }
  return Result.map(
    Recording.launchTo(rec, kernels[pairing], {
      reads: { x, positions, turns },
      writes: { out: x },
      params: {},
      overrides: workgroup,
    }),
    (made) => made.out,
  )
}

/**
 * Turns each head of each token by the token's position: `x` is `[tokens, heads, headDim]`, `turns` are those of
 * `Tensor.turns`. Elements past the pairs stay.
 */
export const rope = <T extends string, H extends string, X extends string>(
  x: Tensor<"f32", `${T} ${H} ${X}`>,
  positions: Tensor<"u32", NoInfer<T>>,
  turns: Tensor<"u32", "pairs two">,
  options: RopeOptions,
): Effect.Effect<Tensor<"f32", `${T} ${H} ${X}`>, ShapeMismatch, Recording.Recording> =>
  Recording.op((rec) => ropeTo(rec, x, positions, turns, options))
