/** Recorded ids of texts. @module */
import { Effect, Schema } from "effect"
import { basename } from "node:path"
import { type Gpu, Llama, Tokenizer } from "../../mod.ts"
import { all, check, type Checked, equal } from "./checked.ts"
import { modelFile, modelFolder } from "./weights.ts"

const File = Schema.Struct({
  cases: Schema.Array(Schema.Struct({
    text: Schema.String,
    ids: Schema.Array(Schema.Int),
    decoded: Schema.String,
  })),
})

/** Checks every text: its ids, and the ids' text, at once and token by token, by both kinds of vocabulary. */
export const tokenizer = (
  json: unknown,
  path: string,
): Effect.Effect<ReadonlyArray<Checked>, Schema.SchemaError | Llama.LoadError, Gpu> =>
  Effect.scoped(Effect.gen(function* () {
    const { cases } = yield* Schema.decodeUnknownEffect(File)(json)
    const gguf = yield* Llama.open(modelFile(path, "q8_0"))
    const folder = yield* Llama.open(modelFolder(path))
    const each = [gguf, folder].flatMap(({ name, tokenizer }) =>
      cases.map((one) => ({ ...one, name, tokenizer }))
    )
    return yield* Effect.forEach(each, ({ name, tokenizer, text, ids, decoded }) =>
      check(
        `${JSON.stringify(text)} ${basename(name)}`,
        Effect.gen(function* () {
          const encoded = yield* Effect.fromResult(Tokenizer.encode(tokenizer, text))
          const whole = yield* Effect.fromResult(Tokenizer.decode(tokenizer, ids))
          let [state, pieces] = [Tokenizer.decoder, ""]
          for (const id of ids) {
            const [next, piece] = yield* Effect.fromResult(Tokenizer.push(tokenizer, state, id))
            state = next
            pieces += piece
          }
          return all(
            equal("ids", encoded, ids),
            equal("text", whole, decoded),
            equal("text token by token", pieces + Tokenizer.flush(state), decoded),
          )
        }),
      ))
  }))
