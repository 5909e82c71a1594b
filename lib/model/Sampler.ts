/** How the next token is drawn from logits. @module */
import { Effect } from "effect"
import { InvalidArgument, type ShapeMismatch } from "../errors.ts"
import { inF32, isAboveF32, isF32 } from "../tensor/numbers.ts"
import type * as Recording from "../tensor/Recording.ts"
import * as Tensor from "../tensor/Tensor.ts"

/** What may be drawn, and how. */
export interface Sampling {
  /** 0 is greedy; else logits are divided by it. Default 0.8. */
  readonly temperature?: number
  /** Only the k most probable tokens. Default 0: all. */
  readonly topK?: number
  /** Only the most probable tokens that together have this probability. Default 1: all. */
  readonly topP?: number
  /** Only tokens at least this probable, relative to the most probable one. Default 0: all. */
  readonly minP?: number
  /** The same seed draws the same tokens, whatever else is in the batch. Default 0. */
  readonly seed?: number
}

const checks: ReadonlyArray<readonly [keyof Sampling, (x: number) => boolean, string]> = [
  [
    "temperature",
    (x) => x === 0 || isAboveF32(x),
    "a finite number, at least 0 (greedy)",
  ],
  [
    "topK",
    (x) => Number.isSafeInteger(x) && x >= 0 && x < 2 ** 32,
    "a whole number, at least 0 (all)",
  ],
  ["topP", (x) => isF32(x) && x > 0 && x <= 1, "above 0 and at most 1 (all)"],
  ["minP", (x) => isF32(x) && x >= 0 && x <= 1, "from 0 (all) to 1"],
  [
    "seed",
    (x) => Number.isSafeInteger(x) && x >= 0 && x < 2 ** 32,
    "a whole number from 0 to 4294967295",
  ],
]

/** The first option out of its range. */
export const samplingError = (sampling: Sampling): InvalidArgument | undefined => {
  for (const [name, holds, need] of checks) {
    const value = sampling[name]
    if (value !== undefined && !holds(value)) {
      return new InvalidArgument({ name, value, need: inF32(need, value) })
    }
  }
}

/** What the draw of each row depends on besides its logits: (seed, position of the token drawn), flat. */
export const noiseOf = ({ seed = 0 }: Sampling, positions: ReadonlyArray<number>): Uint32Array =>
  Uint32Array.from(positions.flatMap((position) => [seed, position]))

/**
 * One token a row. The draw depends on the logits of the row, its noise and nothing else. Greedy sampling
 * ignores the noise.
 */
export const choose = (
  logits: Tensor.Tensor<"f32", "batch vocab">,
  noise: Tensor.Tensor<"u32", "batch two">,
  sampling: Sampling,
): Effect.Effect<
  Tensor.Tensor<"u32", "batch">,
  ShapeMismatch | InvalidArgument,
  Recording.Recording
> => {
  const bad = samplingError(sampling)
  if (bad !== undefined) return Effect.fail(bad)
  const { temperature = 0.8, topK = 0, topP = 1, minP = 0 } = sampling
  return temperature === 0
    ? Tensor.argmax(logits)
    : Tensor.sample(logits, noise, { temperature, topK, topP, minP })
}
