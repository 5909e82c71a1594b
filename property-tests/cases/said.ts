/** Logits and continuations of a loaded model, compared with recorded ones. @module */
import { Effect, Schema, Stream } from "effect"
import { type Gpu, Llama } from "../../mod.ts"
import { all, type Distance, equal, none, numbers, type Tolerance } from "./checked.ts"

/** What was recorded of the logits after a prompt. */
export const Logits: Schema.Struct<{
  readonly top20: Schema.$Array<Schema.Tuple<readonly [Schema.Int, Schema.Finite]>>
  readonly logsumexp: Schema.Finite
}> = Schema.Struct({
  top20: Schema.Array(Schema.Tuple([Schema.Int, Schema.Finite])),
  logsumexp: Schema.Finite,
})

/** Tokens, and how far the second best was behind each. */
export interface Greedy {
  readonly tokens: ReadonlyArray<number>
  readonly margin: ReadonlyArray<number>
}

type Prompt = string | ReadonlyArray<number>

const said = (llama: Llama.Llama, prompt: Prompt, options: Llama.GenerateOptions) =>
  Stream.runCollect(Llama.generate(llama, prompt, { ...options, temperature: 0, ignoreEos: true }))

const logsumexp = (logits: ReadonlyArray<number>): number => {
  const max = logits.reduce((most, x) => Math.max(most, x), -Infinity)
  return max + Math.log(logits.reduce((sum, x) => sum + Math.exp(x - max), 0))
}

/** Compares the ids of a prompt and the logits after it. */
export const compareLogits = (
  llama: Llama.Llama,
  prompt: Prompt,
  ids: ReadonlyArray<number>,
  recorded: typeof Logits.Type,
  tolerance: Tolerance,
): Effect.Effect<Distance, Llama.GenerateError, Gpu> =>
  Effect.map(said(llama, prompt, { maxTokens: 1, topLogits: llama.config.vocab }), (events) => {
    const read = events.find((event) => event._tag === "Prompt")?.ids ?? []
    const logits = events.find((event) => event._tag === "Token")?.topLogits ?? []
    const of = new Map(logits)
    const expected = recorded.top20.map(([, logit]) => logit)
    return all(
      equal("prompt ids", read, ids),
      numbers("logits", recorded.top20.map(([id]) => of.get(id) ?? NaN), expected, tolerance),
      // By rank too, so that no other token stands among them.
      numbers("ranks", logits.slice(0, 20).map(([, logit]) => logit), expected, tolerance),
      numbers(
        "logsumexp",
        [logsumexp(logits.map(([, logit]) => logit))],
        [recorded.logsumexp],
        tolerance,
      ),
    )
  })

/** Compares a continuation; a difference is excused where the recorded choice is closer than `error`. */
export const compareGreedy = (
  llama: Llama.Llama,
  prompt: Prompt,
  { tokens, margin }: Greedy,
  error: number,
): Effect.Effect<Distance, Llama.GenerateError, Gpu> =>
  Effect.map(said(llama, prompt, { maxTokens: tokens.length }), (events) => {
    const actual = events.flatMap((event) => event._tag === "Token" ? [event.id] : [])
    const at = tokens.findIndex((id, i) => id !== actual[i])
    if (at < 0 || !(margin[at]! < error)) return equal("greedy", actual, tokens)
    const why = `its margin ${margin[at]} is below the error ${error.toExponential(1)}`
    return { ...none, notes: [`compared up to greedy[${at}]: ${why}`] }
  })
