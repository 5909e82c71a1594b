/** Recorded ids of texts and conversations, of a model that is fetched. @module */
import { Effect, Result, Schema } from "effect"
import type { BadModelFile, UnsupportedModel } from "../../lib/errors.ts"
import * as Chat from "../../lib/model/Chat.ts"
import * as Tokenizer from "../../lib/model/Tokenizer.ts"
import { all, check, type Checked, equal, none, skipped } from "./checked.ts"
import { fetchedFile } from "./fetched.ts"
import { metadataOf } from "./metadata.ts"

const Ids = Schema.Array(Schema.Int)
const Case = Schema.Struct({
  text: Schema.NullOr(Schema.String),
  parse_special: Schema.Struct({ ids: Ids, detok: Schema.String }),
  ids_add_special_parse_special: Ids,
  messages: Schema.optionalKey(Schema.Array(Schema.Struct({
    role: Schema.Literals(["system", "user", "assistant"]),
    content: Schema.String,
  }))),
  add_generation_prompt: Schema.optionalKey(Schema.Boolean),
})
const File = Schema.Struct({ model_file: Schema.String, cases: Schema.Array(Case) })

/** The text of a token by id; empty if there is none. */
const written = (self: Tokenizer.Tokenizer, id: number | undefined) =>
  id === undefined ? Result.succeed("") : Tokenizer.piece(self, id)

const decoded = (self: Tokenizer.Tokenizer, ids: ReadonlyArray<number>) =>
  Result.gen(function* () {
    let [state, text] = [Tokenizer.decoder, ""]
    for (const id of ids) {
      const [next, piece] = yield* Tokenizer.push(self, state, id)
      state = next
      text += piece
    }
    return text + Tokenizer.flush(state)
  })

/** Checks every text: its ids, the ids' text at once and token by token; and the model's own chat template. */
export const recordedTokenizer = (
  json: unknown,
): Effect.Effect<
  ReadonlyArray<Checked>,
  Schema.SchemaError | BadModelFile | UnsupportedModel
> =>
  Effect.gen(function* () {
    const { model_file, cases } = yield* Schema.decodeUnknownEffect(File)(json)
    const path = fetchedFile(model_file)
    if (Result.isFailure(path)) {
      return cases.map(({ text }) => skipped(JSON.stringify(text), path.failure))
    }
    const gguf = yield* metadataOf(path.success)
    const tokenizer = yield* Effect.fromResult(Tokenizer.fromGguf(gguf))
    const { bos, eos } = tokenizer
    return yield* Effect.forEach(cases, ({ text, parse_special: { ids, detok }, ...rest }) => {
      if (text === null) return Effect.succeed(skipped("null", "a text that is not UTF-8"))
      const { messages, add_generation_prompt: addGenerationPrompt = false } = rest
      const rendered = Result.gen(function* () {
        if (messages === undefined) return none
        const template = yield* Chat.template(gguf)
        const [bosToken, eosToken] = [
          yield* written(tokenizer, bos),
          yield* written(tokenizer, eos),
        ]
        const options = { addGenerationPrompt, bosToken, eosToken }
        const conversation = yield* Chat.render(template, messages, options)
        return all(
          equal("rendered", conversation, text),
          equal("rendered ids", yield* Chat.encode(tokenizer, conversation), ids),
        )
      })
      const compared = Result.gen(function* () {
        const withSpecial = yield* Tokenizer.encode(tokenizer, text, { addSpecial: true })
        return all(
          equal("ids", yield* Tokenizer.encode(tokenizer, text), ids),
          equal("ids with BOS", withSpecial, rest.ids_add_special_parse_special),
          equal("text", yield* Tokenizer.decode(tokenizer, ids), detok),
          equal("text token by token", yield* decoded(tokenizer, ids), detok),
          yield* rendered,
        )
      })
      return check(JSON.stringify(text), Effect.fromResult(compared))
    })
  })
