/** One step of a model: new tokens in, logits out, every layer's keys and values in the cache. @module */
import { Effect } from "effect"
import type { Needs } from "../cache/Flight.ts"
import { step as cacheStep, type StepError, type Stepped } from "../cache/Step.ts"
import type { KvCache } from "../cache/value.ts"
import { InvalidArgument, LayoutMismatch, type ShapeMismatch } from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import * as Tensor from "../tensor/Tensor.ts"
import { forward } from "./forward.ts"
import type { Llama } from "./load.ts"

/** What a step of the model may fail with. */
export type ModelError = StepError | InvalidArgument | LayoutMismatch

const idsError = (
  { config }: Llama,
  tokens: ReadonlyArray<ReadonlyArray<number>>,
): InvalidArgument | undefined => {
  for (const value of tokens.flat()) {
    if (Number.isSafeInteger(value) && value >= 0 && value < config.vocab) continue
    const need = `a whole number from 0 to ${config.vocab - 1}`
    return new InvalidArgument({ name: "a token id", value, need })
  }
}

/** A cache made for another model would be read as if it were this one's. */
const layoutError = (
  { config }: Llama,
  caches: ReadonlyArray<KvCache>,
): LayoutMismatch | undefined => {
  const { layers, numKvHeads, headDim } = config
  const needs = {
    layers,
    keyHeads: numKvHeads,
    valueHeads: numKvHeads,
    keyDim: headDim,
    valueDim: headDim,
  }
  for (const { arena: { layout } } of caches) {
    for (const field of ["layers", "keyHeads", "valueHeads", "keyDim", "valueDim"] as const) {
      const [expected, actual] = [needs[field], layout[field]]
      if (expected === actual) continue
      return new LayoutMismatch({ field, expected: `${expected}`, actual: `${actual}` })
    }
  }
}

/**
 * Reads `tokens[i]` after each cache: one step, any number of sequences and tokens each. `body` is given the
 * logits of the last token of each row and those of every new token, and records what to do with them.
 */
export const step = <A, E, R>(
  llama: Llama,
  caches: ReadonlyArray<KvCache>,
  tokens: ReadonlyArray<ReadonlyArray<number>>,
  body: (given: Read) => Effect.Effect<A, E, R>,
  options: StepOptions<A> = {},
): Effect.Effect<Stepped<A>, E | ModelError, R | Needs> => {
  const bad = idsError(llama, tokens) ?? layoutError(llama, caches)
  if (bad !== undefined) return Effect.fail(bad)
  const { config, weights } = llama
  const ids = Uint32Array.from(tokens.flat())
  return cacheStep(
    caches,
    tokens.map((row) => row.length),
    (open) =>
      Effect.gen(function* () {
        const all = Recording.fresh("u32", "tokens", [ids.length], ids)
        const hidden = yield* forward(config, weights, open, all)
        const last = Effect.flatMap(
          Tensor.embed(open.last, hidden),
          (rows) => Tensor.linear(rows, weights.head),
        )
        const every = Tensor.linear(hidden, weights.head)
        const value = yield* body({ last, every })
        return options.kept === undefined ? { value } : { value, kept: options.kept(value) }
      }),
  )
}

type Logits<A extends string> = Effect.Effect<
  Tensor.Tensor<"f32", A>,
  ShapeMismatch | InvalidArgument,
  Recording.Recording
>

/** What a step may be told besides. */
export interface StepOptions<A> {
  /** How many of its new tokens each row keeps, by what the body made: rejected drafts leave nothing behind. */
  readonly kept?: (value: A) => ReadonlyArray<number>
}

/** Logits of a step; each is recorded only if it is yielded. */
export interface Read {
  /** Of the last new token of each row. */
  readonly last: Logits<"batch vocab">
  /** Of every new token. */
  readonly every: Logits<"tokens vocab">
}
