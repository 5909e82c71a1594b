/**
 * Sizes of a transformer's cache, and what its layers see.
 *
 * @module
 */
import { Result } from "effect"
import { InvalidArgument } from "../errors.ts"
import { type AttnMaskDetail, error as detailError } from "./transformer/AttnMaskDetail.ts"
import { SLIDING } from "./transformer/AttnMaskType.ts"
import { whole } from "./transformer/check.ts"

/** What `create` takes. */
export interface Options {
  readonly batchSize: number
  /** Most tokens of a sequence. */
  readonly sequenceLength: number
  readonly numHiddenLayers: number
  /** Id of the token that pads; `TransformerMetadata.fromTokens` finds padding by it. */
  readonly padTokenId: number
  /** Query heads; also key and value heads unless those are given. */
  readonly numHeads?: number | undefined
  /** Elements of a head, of keys and of values unless those are given. */
  readonly headDim?: number | undefined
  readonly keyHeads?: number | undefined
  readonly valueHeads?: number | undefined
  readonly keyDim?: number | undefined
  readonly valueDim?: number | undefined
  /** Queries see no later position than their own, where a call's mask does not say. Default true. */
  readonly updateCausalMask?: boolean | undefined
  /** `concatenateToCache` answers which positions each query sees. Default true. */
  readonly createAttentionBias?: boolean | undefined
  /** Tokens seen by layers for which no mask is given. Default: all. */
  readonly slidingWindow?: number | undefined
}

/** The same, checked, with heads and dims derived. */
export interface TransformerCacheMetaData {
  readonly batchSize: number
  readonly sequenceLength: number
  readonly numHiddenLayers: number
  readonly padTokenId: number
  readonly numHeads: number | undefined
  readonly headDim: number | undefined
  readonly keyHeads: number
  readonly valueHeads: number
  readonly keyDim: number
  readonly valueDim: number
  readonly updateCausalMask: boolean
  readonly createAttentionBias: boolean
  readonly slidingWindow: number | undefined
}

const sizes = ["batchSize", "sequenceLength", "numHiddenLayers"] as const
/** 0 is a mistake like any other, not a way to leave them out. */
const optional = [
  "numHeads",
  "headDim",
  "keyHeads",
  "valueHeads",
  "keyDim",
  "valueDim",
  "slidingWindow",
] as const

const numberError = (options: Options): InvalidArgument | undefined => {
  for (const name of sizes) {
    const bad = whole(name, options[name], 1)
    if (bad !== undefined) return bad
  }
  for (const name of optional) {
    const value = options[name]
    const bad = value === undefined ? undefined : whole(name, value, 1)
    if (bad !== undefined) return bad
  }
  return whole("padTokenId", options.padTokenId, 0)
}

const derivable = (
  whole: "numHeads" | "headDim",
  parts: string,
  known: boolean,
): InvalidArgument | undefined => {
  const need = `given, or both ${parts}`
  return known ? undefined : new InvalidArgument({ name: whole, value: "nothing", need })
}

const groupError = (
  name: string,
  heads: number,
  numHeads: number | undefined,
): InvalidArgument | undefined =>
  numHeads === undefined || numHeads % heads === 0 ? undefined : new InvalidArgument({
    name,
    value: heads,
    need: `a divisor of ${numHeads}, the query heads that share them`,
  })

/** Each row of each layer is a cache of its own, so a value of its own on the host. */
const mostRows = 2 ** 20

/**
 * Checks every number and derives what is left out: key and value heads from `numHeads`, their dims from `headDim`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { Result } from "effect"
 * import { TransformerCacheMetaData } from "@kvasir/kvasir"
 * const metadata = Result.getOrThrow(TransformerCacheMetaData.create({
 *   batchSize: 2, sequenceLength: 1024, numHiddenLayers: 12, padTokenId: 0,
 *   numHeads: 16, headDim: 64, keyHeads: 4, valueHeads: 4,
 * }))
 * assert.deepEqual([metadata.keyHeads, metadata.keyDim], [4, 64])
 * ```
 */
export const create = (
  options: Options,
): Result.Result<TransformerCacheMetaData, InvalidArgument> => {
  const { numHeads, headDim, slidingWindow } = options
  const { keyHeads = numHeads, valueHeads = numHeads } = options
  const { keyDim = headDim, valueDim = headDim } = options
  const bad = numberError(options) ??
    derivable("headDim", "keyDim and valueDim", keyDim !== undefined && valueDim !== undefined) ??
    derivable(
      "numHeads",
      "keyHeads and valueHeads",
      keyHeads !== undefined && valueHeads !== undefined,
    ) ??
    groupError("keyHeads", keyHeads!, numHeads) ??
    groupError("valueHeads", valueHeads!, numHeads)
  if (bad !== undefined) return Result.fail(bad)
  const rows = options.batchSize * options.numHiddenLayers
  if (rows > mostRows) {
    const need = `at most ${mostRows}: take a smaller batch`
    return Result.fail(
      new InvalidArgument({ name: "batchSize · numHiddenLayers", value: rows, need }),
    )
  }
  return Result.succeed({
    batchSize: options.batchSize,
    sequenceLength: options.sequenceLength,
    numHiddenLayers: options.numHiddenLayers,
    padTokenId: options.padTokenId,
    numHeads,
    headDim,
    keyHeads: keyHeads!,
    valueHeads: valueHeads!,
    keyDim: keyDim!,
    valueDim: valueDim!,
    updateCausalMask: options.updateCausalMask ?? true,
    createAttentionBias: options.createAttentionBias ?? true,
    slidingWindow,
  })
}

/** The mask of a layer: its own, or else the window of all. Internal. */
export const detailOf = (
  { slidingWindow }: TransformerCacheMetaData,
  given: AttnMaskDetail | undefined,
): Result.Result<AttnMaskDetail | undefined, InvalidArgument> => {
  const detail = given ??
    (slidingWindow === undefined ? undefined : { maskType: SLIDING, size: slidingWindow })
  const bad = detail === undefined ? undefined : detailError(detail)
  return bad === undefined ? Result.succeed(detail) : Result.fail(bad)
}
