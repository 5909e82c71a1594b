/** What a model does now: it picks the rules by which arrays are divided. @module */
import { InvalidArgument } from "../../errors.ts"

/** A mode. */
export type RuntimeMode = "train" | "prefill" | "decode" | "insert"

/** Whole sequences, without a cache. */
export const MODE_TRAIN = "train" as const
/** Many tokens of a prompt. */
export const MODE_PREFILL = "prefill" as const
/** The next tokens of running sequences. */
export const MODE_DECODE = "decode" as const
/** Sequences join a batch. */
export const MODE_INSERT = "insert" as const

/** Every mode. */
export const all: ReadonlyArray<RuntimeMode> = [
  MODE_TRAIN,
  MODE_PREFILL,
  MODE_DECODE,
  MODE_INSERT,
]

/** What is wrong with a mode that the compiler did not see. */
export const error = (mode: RuntimeMode): InvalidArgument | undefined =>
  all.includes(mode)
    ? undefined
    : new InvalidArgument({ name: "mode", value: String(mode), need: `one of ${all.join(", ")}` })
