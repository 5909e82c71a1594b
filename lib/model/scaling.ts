/**
 * How models stretch RoPE past the context that they were first trained on: what divides each frequency.
 *
 * @module
 */

/** What divides the frequency of each pair, `[rotary / 2]`; undefined: nothing. An odd `rotary` is refused later. */
export type Factors = ReadonlyArray<number> | undefined

/** The frequencies that are scaled: pair p turns by `theta^(-2p / rotary)`. */
export interface Frequencies {
  readonly theta: number
  readonly rotary: number
}

/** The names of the scalings that are built, for errors. */
export const scalings = '"linear" or "llama3"'

/** Every frequency alike: positions lie closer together. */
export const linear = ({ rotary }: Pick<Frequencies, "rotary">, factor: number): Factors =>
  factor === 1 ? undefined : new Array<number>(Math.floor(rotary / 2)).fill(factor)

/** What Llama 3.1 is scaled by. */
export interface Llama3 {
  /** Divides the low frequencies, at least 1. */
  readonly factor: number
  /** A pair that turns less often than this in `original` tokens is low; above 0. */
  readonly low: number
  /** A pair that turns more often is left as it is; above `low`. */
  readonly high: number
  /** Tokens that the model saw before it was stretched. */
  readonly original: number
}

/**
 * Low frequencies are divided by the factor, high ones by nothing, and those between go from one to the other.
 *
 * Source: `_compute_llama3_parameters` of transformers, whose wavelengths are turns in `original` tokens here.
 */
export const llama3 = (
  { theta, rotary }: Frequencies,
  { factor, low, high, original }: Llama3,
): Factors =>
  Array.from({ length: Math.floor(rotary / 2) }, (_, p) => {
    const turns = original * theta ** (-2 * p / rotary) / (2 * Math.PI)
    const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)))
    return 1 / (kept + (1 - kept) / factor)
  })
