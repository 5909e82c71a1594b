/** `score TEXT | --ids FILE`: how probable a text is. @module */
import { Effect } from "effect"
import { readFile } from "node:fs/promises"
import * as Llama from "../model/Llama.ts"
import * as Tokenizer from "../model/Tokenizer.ts"
import { layerOf } from "./device.ts"
import { load } from "./model.ts"
import type { Command, Failure } from "./command.ts"
import { oneText, parse, type Table, Usage } from "./options.ts"
import * as Output from "./output.ts"

const table = {
  ids: { takes: "text", help: "a file of token ids (a JSON array, or numbers and blanks)" },
  model: { takes: "text", help: "a GGUF file; the embedded model without it" },
  device: { takes: "text", help: "auto, cpu, webgpu or dawn" },
  json: { takes: "nothing", help: "one JSON object: { ids, meanNll, nll, logsumexp }" },
} as const satisfies Table

const idsOf = (file: string): Effect.Effect<ReadonlyArray<number>, Usage> =>
  Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (error) =>
      new Usage({ problem: `The ids of ${file} cannot be read: ${(error as Error).message}` }),
  }).pipe(Effect.flatMap((text) => {
    const ids = text.split(/[\s,[\]]+/).filter((word) => word !== "").map(Number)
    return ids.every((id) => Number.isSafeInteger(id) && id >= 0)
      ? Effect.succeed(ids)
      : Effect.fail(new Usage({ problem: `${file} holds something else than token ids` }))
  }))

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
