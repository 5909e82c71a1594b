/** Names of what the axes of a model's arrays mean; a partition table says over which devices each is divided. @module */

/** A logical axis. */
export type Axis =
  | "batch"
  | "queryLength"
  | "kvLength"
  | "head"
  | "kvHead"
  | "headDim"
  | "kvHeadDim"
  | "biasHeadSeq"
  | "biasKvSeq"

/** Sequences. */
export const BATCH = "batch" as const
/** New tokens of a sequence. */
export const QUERY_LENGTH = "queryLength" as const
/** Positions of a cache. */
export const KV_LENGTH = "kvLength" as const
/** Query heads. */
export const HEAD = "head" as const
/** Heads of keys and of values. */
export const KV_HEAD = "kvHead" as const
/** Elements of a query head. */
export const HEAD_DIM = "headDim" as const
/** Elements of a key's or a value's head. */
export const KV_HEAD_DIM = "kvHeadDim" as const
/** Heads of an attention bias. */
export const BIAS_HEAD_SEQ = "biasHeadSeq" as const
/** Positions of an attention bias. */
export const BIAS_KV_SEQ = "biasKvSeq" as const

/** Every axis. */
export const all: ReadonlyArray<Axis> = [
  BATCH,
  QUERY_LENGTH,
  KV_LENGTH,
  HEAD,
  KV_HEAD,
  HEAD_DIM,
  KV_HEAD_DIM,
  BIAS_HEAD_SEQ,
  BIAS_KV_SEQ,
]
