/** `tokenize TEXT`: the ids of a text. @module */
import { Effect } from "effect"
import * as Tokenizer from "../model/Tokenizer.ts"
import { inspect } from "./model.ts"
import type { Command, Failure } from "./command.ts"
import { oneText, parse, type Table } from "./options.ts"
import * as Output from "./output.ts"

const table = {
  model: {
    takes: "text",
    help: "a GGUF file or a folder of safetensors; the embedded model without it",
  },
  "add-special": { takes: "nothing", help: "BOS and EOS as the model wants them" },
  json: { takes: "nothing", help: "one JSON object: { ids, pieces }" },
} as const satisfies Table

const run = (args: ReadonlyArray<string>): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const { values, texts } = yield* Effect.fromResult(parse(args, table))
    const text = yield* Effect.fromResult(oneText(texts))
    const { tokenizer } = yield* inspect(values.model)
    const addSpecial = values["add-special"] === true
    const ids = yield* Effect.fromResult(Tokenizer.encode(tokenizer, text, { addSpecial }))
    const pieces = yield* Effect.forEach(
      ids,
      (id) => Effect.fromResult(Tokenizer.piece(tokenizer, id)),
    )
    yield* Output.print(
      values.json === true
        ? JSON.stringify({ ids, pieces }) + "\n"
        : ids.map((id, i) => `${id}\t${JSON.stringify(pieces[i])}\n`).join(""),
    )
  })

/** Prints a line for each token, or the object. */
export const tokenize: Command = {
  takes: "TEXT",
  does: "shows the token ids of a text",
  table,
  run,
}
