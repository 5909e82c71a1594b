/** `score TEXT | --ids FILE`: how probable a text is. @module */
import { Effect } from "effect"
import { readFile } from "node:fs/promises"
import { InvalidArgument } from "../errors.ts"
import * as Llama from "../model/Llama.ts"
import * as Tokenizer from "../model/Tokenizer.ts"
import { layerOf } from "./device.ts"
import { load } from "./model.ts"
import type { Command, Failure } from "./command.ts"
import { oneText, parse, type Table, Usage } from "./options.ts"
import * as Output from "./output.ts"

const table = {
  ids: { takes: "text", help: "a file of token ids (a JSON array, or numbers and blanks)" },
  model: {
    takes: "text",
    help: "a GGUF file or a folder of safetensors; the embedded model without it",
  },
  device: { takes: "text", help: "auto, cpu, webgpu or dawn" },
  json: { takes: "nothing", help: "one JSON object: { ids, meanNll, nll, logsumexp }" },
} as const satisfies Table

const idsOf = (file: string): Effect.Effect<ReadonlyArray<number>, InvalidArgument> => {
  const bad = (need: string) => new InvalidArgument({ name: "--ids", value: file, need })
  return Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (error) => bad(`a file that can be read (${(error as Error).message})`),
  }).pipe(Effect.flatMap((text) => {
    const words = text.split(/[\s,[\]]+/).filter((word) => word !== "")
    const wrong = words.find((word) => !/^\d{1,15}$/.test(word))
    return wrong === undefined
      ? Effect.succeed(words.map(Number))
      : Effect.fail(bad(`a file of token ids, and ${JSON.stringify(wrong.slice(0, 40))} is none`))
  }))
}

const run = (args: ReadonlyArray<string>): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const { values, texts } = yield* Effect.fromResult(parse(args, table))
    if (values.ids !== undefined && texts.length > 0) {
      return yield* new Usage({ problem: "Either a text or --ids is scored, not both" })
    }
    const text = values.ids === undefined ? yield* Effect.fromResult(oneText(texts)) : ""
    const layer = yield* layerOf(values.device)
    const work = Effect.scoped(Effect.gen(function* () {
      const llama = yield* load(values.model)
      const ids = values.ids !== undefined
        ? yield* idsOf(values.ids)
        : yield* Effect.fromResult(Tokenizer.encode(llama.tokenizer, text, { addSpecial: true }))
      return { ids, ...yield* Llama.score(llama, ids) }
    }))
    const { ids, meanNll, nll, logsumexp } = yield* Effect.provide(work, layer)
    yield* Output.print(
      values.json === true
        ? JSON.stringify({ ids, meanNll, nll, logsumexp }) + "\n"
        : `${meanNll.toFixed(6)} nats a token over ${nll.length} tokens\n`,
    )
  })

/** Prints the mean negative log-likelihood, or the object. */
export const score: Command = { takes: "TEXT", does: "says how probable a text is", table, run }
