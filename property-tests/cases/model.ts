/** Recorded logits, greedy continuations and likelihoods of a model, from a float64 forward pass. @module */
import { Effect, Schema } from "effect"
import { type Gpu, Llama } from "../../mod.ts"
import { all, check, type Checked, type Distance, numbers, skipped } from "./checked.ts"
import { compareGreedy, compareLogits, Logits } from "./said.ts"
import { modelFile, modelFolder } from "./weights.ts"

const Ids = Schema.Array(Schema.Int)
const Mode = Schema.Struct({
  ...Logits.fields,
  greedy: Ids,
  margin: Schema.Array(Schema.Finite),
})
const Case = Schema.Struct({
  prompt: Schema.String,
  ids: Ids,
  modes: Schema.Record(Schema.String, Mode),
})
const File = Schema.Struct({
  cases: Schema.Array(Case),
  nll: Schema.Struct({ ids: Ids, mean_nll: Schema.Finite }),
})

/** Recorded numbers have six decimals; the rest is f32 against float64. */
const tolerance = { abs: 1e-4, rel: 0 }

/** The mode whose weights are stored as they were when the likelihood was recorded. */
const scored = "gguf_f16"

const comparePrompt = (
  llama: Llama.Llama,
  { prompt, ids }: typeof Case.Type,
  { greedy: tokens, margin, ...logits }: typeof Mode.Type,
): Effect.Effect<Distance, Llama.GenerateError, Gpu> =>
  Effect.gen(function* () {
    const distribution = yield* compareLogits(llama, prompt, ids, logits, tolerance)
    const greedy = { tokens, margin }
    return all(distribution, yield* compareGreedy(llama, prompt, greedy, distribution.error))
  })

const checkMode = (
  { cases, nll }: typeof File.Type,
  mode: string,
  file: string,
): Effect.Effect<ReadonlyArray<Checked>, Llama.LoadError, Gpu> =>
  Effect.scoped(Effect.gen(function* () {
    const llama = yield* Llama.load(file)
    const checked = yield* Effect.forEach(
      cases.filter(({ modes }) => mode in modes),
      (one) =>
        check(
          `${JSON.stringify(one.prompt)} ${mode}`,
          comparePrompt(llama, one, one.modes[mode]!),
        ),
    )
    if (mode !== scored) return checked
    const passage = check(
      `mean nll of ${nll.ids.length} tokens ${mode}`,
      Effect.map(
        Llama.score(llama, nll.ids),
        ({ meanNll }) => numbers("mean nll", [meanNll], [nll.mean_nll], tolerance),
      ),
    )
    return [...checked, yield* passage]
  }))

/** Checks every prompt with the weights of every mode, and the passage with the mode it was scored by. */
export const model = (
  json: unknown,
  path: string,
  only: (mode: string) => boolean = () => true,
): Effect.Effect<ReadonlyArray<Checked>, Schema.SchemaError | Llama.LoadError, Gpu> =>
  Effect.gen(function* () {
    const file = yield* Schema.decodeUnknownEffect(File)(json)
    const modes = new Set(file.cases.flatMap((one) => Object.keys(one.modes)))
    const checked = yield* Effect.forEach([...modes].filter(only), (mode) => {
      const [kind, quantisation = ""] = mode.split(/_(.*)/)
      const weights = kind === "gguf"
        ? modelFile(path, quantisation)
        : kind === "safetensors"
        ? modelFolder(path)
        : undefined
      if (weights !== undefined) return checkMode(file, mode, weights)
      const reason = kind === "gguf"
        ? `there is no file *-${quantisation}.gguf`
        : kind === "safetensors"
        ? "there is no folder with a config.json"
        : `reading ${kind} is not built yet`
      return Effect.succeed(
        file.cases.map(({ prompt }) => skipped(`${JSON.stringify(prompt)} ${mode}`, reason)),
      )
    })
    return checked.flat()
  })
