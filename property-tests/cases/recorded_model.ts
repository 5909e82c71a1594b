/** Recorded logits, continuations and likelihoods of a model that is fetched. @module */
import { Effect, Result, Schema } from "effect"
import { type Gpu, Llama } from "../../mod.ts"
import { check, type Checked, numbers, skipped, type Tolerance } from "./checked.ts"
import { fetchedFile } from "./fetched.ts"
import { compareGreedy, compareLogits, Logits } from "./said.ts"

type Check = (
  json: unknown,
) => Effect.Effect<ReadonlyArray<Checked>, Schema.SchemaError | Llama.LoadError, Gpu>

const Ids = Schema.Array(Schema.Int)

/** The recording's own GELU reads a table of f16 numbers, so a Gemma model is only this close to it. */
const toleranceOf = (file: string): Tolerance => ({
  abs: file.startsWith("gemma") ? 0.02 : 1e-3,
  rel: 0,
})

/** Checks the cases with the model that they name, or says that it is not there. */
const withModel = <A>(
  file: string,
  cases: ReadonlyArray<A>,
  name: (one: A) => string,
  checkOne: (llama: Llama.Llama, one: A) => Effect.Effect<Checked, never, Gpu>,
): Effect.Effect<ReadonlyArray<Checked>, Llama.LoadError, Gpu> =>
  Result.match(fetchedFile(file), {
    onFailure: (reason) => Effect.succeed(cases.map((one) => skipped(name(one), reason))),
    onSuccess: (path) =>
      Effect.scoped(Effect.flatMap(Llama.load(path), (llama) =>
        Effect.forEach(cases, (one) =>
          checkOne(llama, one)))),
  })

const LogitsFile = Schema.Struct({
  model_file: Schema.String,
  cases: Schema.Array(Schema.Struct({ name: Schema.String, ids: Ids, f32: Logits })),
})

/** Checks the logits after each list of ids. */
export const recordedLogits: Check = (json) =>
  Effect.flatMap(
    Schema.decodeUnknownEffect(LogitsFile)(json),
    ({ model_file, cases }) =>
      withModel(model_file, cases, ({ name }) =>
        name, (llama, { name, ids, f32 }) =>
        check(name, compareLogits(llama, ids, ids, f32, toleranceOf(model_file)))),
  )

const GreedyFile = Schema.Struct({
  model_file: Schema.String,
  cases: Schema.Array(Schema.Struct({
    prompt_text: Schema.String,
    prompt_ids: Ids,
    f32: Schema.Struct({ tokens: Ids, margin: Schema.Array(Schema.Finite) }),
  })),
})

/** Checks the most probable continuation of each prompt. */
export const recordedGreedy: Check = (json) =>
  Effect.flatMap(
    Schema.decodeUnknownEffect(GreedyFile)(json),
    ({ model_file, cases }) =>
      withModel(
        model_file,
        cases,
        ({ prompt_text }) => JSON.stringify(prompt_text),
        (llama, { prompt_text, prompt_ids, f32 }) =>
          check(
            JSON.stringify(prompt_text),
            compareGreedy(llama, prompt_ids, f32, toleranceOf(model_file).abs),
          ),
      ),
  )

const NllFile = Schema.Struct({
  model_file: Schema.String,
  ids: Ids,
  f32: Schema.Struct({ mean_nll: Schema.Finite }),
})

/** Checks the mean likelihood of a passage. */
export const recordedNll: Check = (json) =>
  Effect.flatMap(
    Schema.decodeUnknownEffect(NllFile)(json),
    ({ model_file, ids, f32 }) => {
      const name = `mean nll of ${ids.length} tokens`
      return withModel(model_file, [ids], () => name, (llama, ids) =>
        check(
          name,
          Effect.map(
            Llama.score(llama, ids),
            ({ meanNll }) =>
              numbers("mean nll", [meanNll], [f32.mean_nll], toleranceOf(model_file)),
          ),
        ))
    },
  )
