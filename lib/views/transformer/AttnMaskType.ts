/**
 * How a layer hides positions: all of the past, a window of it, or the query's own chunk.
 *
 * @module
 */
import { Result } from "effect"
import { InvalidArgument } from "../../errors.ts"

/** One of `FULL`, `SLIDING`, `CHUNK`. */
export type AttnMaskType = "FULL" | "SLIDING" | "CHUNK"

/** Everything up to the query. */
export const FULL = "FULL" as const
/** The last tokens, the query's own included. */
export const SLIDING = "SLIDING" as const
/** The tokens of the query's own chunk, up to the query. */
export const CHUNK = "CHUNK" as const
/** `CHUNK` under its other name. */
export const CHUNKED: typeof CHUNK = CHUNK

/** Names of layer types in the configurations of checkpoints, without `_attention`. */
const named: { readonly [name: string]: AttnMaskType } = {
  sliding: SLIDING,
  full: FULL,
  linear: FULL,
  kda_linear: FULL,
  hybrid: FULL,
  parallel_hybrid: FULL,
  chunk: CHUNK,
  chunked: CHUNK,
}

/**
 * The type that a checkpoint's configuration means by one entry of its layer types.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { Result } from "effect"
 * import { AttnMaskType } from "@kvasir/kvasir"
 * assert.equal(Result.getOrThrow(AttnMaskType.fromHf("sliding_attention")), AttnMaskType.SLIDING)
 * ```
 */
export const fromHf = (name: string): Result.Result<AttnMaskType, InvalidArgument> => {
  const short = name.replace(/_attention$/, "")
  const type = Object.hasOwn(named, short) ? named[short] : undefined
  const need = `one of ${Object.keys(named).join(", ")}, with or without _attention`
  return type === undefined
    ? Result.fail(new InvalidArgument({ name: "the layer type", value: name, need }))
    : Result.succeed(type)
}
