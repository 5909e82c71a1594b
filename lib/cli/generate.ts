/** `generate TEXT`: the main job. @module */
import { Clock, Effect, type Scope, Stream } from "effect"

import * as Gpu from "../device/Gpu.ts"
import { InvalidArgument, OutOfBlocks } from "../errors.ts"
import * as Llama from "../model/Llama.ts"
import { layerOf } from "./device.ts"
import { cacheLine, toJson } from "./memory.ts"
import { load } from "./model.ts"
import type { Command, Failure } from "./command.ts"
import { oneText, parse, type Table, Usage, type Values } from "./options.ts"
import * as Output from "./output.ts"

const table = {
  chat: { takes: "nothing", help: "ask TEXT as a user, in the model's own chat template" },
  system: { takes: "text", help: "the system message of a chat" },
  model: {
    takes: "text",
    help: "a GGUF file or a folder of safetensors; the embedded model without it",
  },
  "max-tokens": { takes: "number", help: "most tokens to say (128)" },
  temperature: { takes: "number", help: "0 is greedy (0.8)" },
  "top-k": { takes: "number", help: "only the k most probable tokens (0: all)" },
  "top-p": { takes: "number", help: "only tokens of together this probability (1: all)" },
  "min-p": { takes: "number", help: "only tokens this probable, relative to the first (0: all)" },
  seed: { takes: "number", help: "the same seed says the same (random, and shown)" },
  "ignore-eos": { takes: "nothing", help: "go on after the model's end token" },
  "top-logits": { takes: "number", help: "report the n first logits of every draw (with --json)" },
  "cache-blocks": { takes: "number", help: "blocks of 16 tokens in the cache's pool (as needed)" },
  device: { takes: "text", help: "auto, cpu, webgpu or dawn" },
  json: { takes: "nothing", help: "one JSON object and nothing else on standard output" },
} as const satisfies Table

type Options = Values<typeof table>

/** What a run has said so far. */
interface Said {
  prompt: ReadonlyArray<number>
  readonly tokens: Array<number>
  readonly topLogits: Array<ReadonlyArray<readonly [number, number]>>
  text: string
  stopped: "eos" | "length" | "interrupted"
  memory: Llama.Memory
  firstAt: number | undefined
  endAt: number
}

const nothing = (): Said => ({
  prompt: [],
  tokens: [],
  topLogits: [],
  text: "",
  stopped: "interrupted",
  memory: { weightsBytes: 0, cacheBytes: 0, blocksLive: 0, blocksShared: 0, groups: [] },
  firstAt: undefined,
  endAt: 0,
})

const now = Effect.map(Clock.currentTimeNanos, (nanos) => Number(nanos) / 1e6)

const optionsOf = (values: Options, seed: number): Llama.GenerateOptions => ({
  ...(values["max-tokens"] !== undefined && { maxTokens: values["max-tokens"] }),
  ...(values.temperature !== undefined && { temperature: values.temperature }),
  ...(values["top-k"] !== undefined && { topK: values["top-k"] }),
  ...(values["top-p"] !== undefined && { topP: values["top-p"] }),
  ...(values["min-p"] !== undefined && { minP: values["min-p"] }),
  ...(values["top-logits"] !== undefined && { topLogits: values["top-logits"] }),
  ...(values["cache-blocks"] !== undefined && { cacheBlocks: values["cache-blocks"] }),
  ignoreEos: values["ignore-eos"] === true,
  seed,
})

/** A text that goes on, or the answer to it as a user's message. */
const speech = (
  llama: Llama.Llama,
  prompt: string,
  values: Options,
  seed: number,
): Effect.Effect<
  Stream.Stream<Llama.Event | Llama.Answered, Llama.SayError, Gpu.Gpu>,
  Effect.Error<ReturnType<typeof Llama.converse>> | Usage,
  Gpu.Gpu | Scope.Scope
> =>
  Effect.gen(function* () {
    const options = optionsOf(values, seed)
    const { system, "cache-blocks": blocks } = values
    if (values.chat === true) {
      const conversation = yield* Llama.converse(llama, {
        ...(system !== undefined && { system }),
        ...(blocks !== undefined && { contextTokens: 16 * blocks }),
      })
      return Llama.say(conversation, prompt, options)
    }
    if (system !== undefined) return yield* new Usage({ problem: "--system is for --chat" })
    return Llama.generate(llama, prompt, options)
  })

/** Streams what happens: text to standard output, counts to the terminal. */
const listen = (
  events: Stream.Stream<Llama.Event | Llama.Answered, Llama.SayError, Gpu.Gpu>,
  said: Said,
  json: boolean,
): Effect.Effect<void, Llama.SayError, Gpu.Gpu> => {
  const speak = (text: string) =>
    Effect.suspend(() => {
      said.text += text
      return json || text === "" ? Effect.void : Output.print(text)
    })
  return Stream.runForEach(events, (event) =>
    Effect.gen(function* () {
      if (event._tag === "Answered") return
      said.memory = event.memory
      switch (event._tag) {
        case "Prompt":
          said.prompt = event.ids
          return yield* Output.status(`reading: ${event.done} of ${event.ids.length} tokens`)
        case "Token":
          said.tokens.push(event.id)
          if (event.topLogits.length > 0) said.topLogits.push(event.topLogits)
          if (said.firstAt === undefined) {
            said.firstAt = yield* now
            yield* Output.status("")
          }
          said.endAt = yield* now
          return yield* speak(event.text)
        case "End":
          said.stopped = event.stopped
          return yield* speak(event.text)
      }
    }))
}

/** An error of the library in the words of the command line, where it is about an option. */
const inOptions = (error: Failure): Failure => {
  if (error instanceof OutOfBlocks) {
    const { _tag, needed, total } = error
    const state = `${needed} blocks of 16 tokens: --cache-blocks gives ${total}`
    const remedy = "give more, or less to say with --max-tokens"
    return {
      _tag,
      message: `Cannot hold the prompt and the answer as they need ${state}; ${remedy}`,
    }
  }
  if (error instanceof InvalidArgument) {
    const option = error.name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    if (Object.hasOwn(table, option)) {
      return new Usage({ problem: `--${option} must be ${error.need}: ${error.value} is not` })
    }
  }
  return error
}

const rate = (tokens: number, ms: number): number =>
  tokens > 0 && ms > 0 ? Number((1000 * tokens / ms).toFixed(2)) : 0

const report = (said: Said, startAt: number, loadedAt: number) => {
  const prefillMs = (said.firstAt ?? said.endAt) - loadedAt
  const decodeMs = said.firstAt === undefined ? 0 : said.endAt - said.firstAt
  return {
    loadMs: loadedAt - startAt,
    prefillMs,
    decodeMs,
    prefillTokensPerSecond: rate(said.prompt.length, prefillMs),
    // The first token is drawn by the prefill.
    decodeTokensPerSecond: rate(said.tokens.length - 1, decodeMs),
  }
}

const run = (args: ReadonlyArray<string>): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const { values, texts } = yield* Effect.fromResult(parse(args, table))
    const prompt = yield* Effect.fromResult(oneText(texts))
    const layer = yield* layerOf(values.device)
    const json = values.json === true
    const seed = values.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]!
    const said = nothing()
    const startAt = yield* now
    let loadedAt = startAt
    let head = { model: "", device: "" }
    const finish = Effect.suspend(() => {
      const timings = report(said, startAt, loadedAt)
      const { prompt: promptTokens, tokens, text, stopped, topLogits, memory } = said
      const logits = topLogits.length > 0 ? { topLogits } : {}
      return json
        ? Output.print(
          JSON.stringify({
            ...head,
            promptTokens,
            tokens,
            text,
            stopped,
            seed,
            ...logits,
            timings,
            memory: toJson(memory),
          }) + "\n",
        )
        : Effect.andThen(
          Output.print("\n"),
          summary(values, seed, said, timings.decodeTokensPerSecond),
        )
    })
    const work = Effect.scoped(Effect.gen(function* () {
      const llama = yield* load(values.model)
      const gpu = yield* Gpu.Service
      loadedAt = yield* now
      head = { model: llama.config.name, device: gpu.name }
      said.endAt = loadedAt
      if (yield* Output.watched) yield* Output.note(json ? "" : `\x1b[2m${prompt}\x1b[0m`)
      yield* listen(yield* speech(llama, prompt, values, seed), said, json)
    }))
    // The line of an error is a line of its own.
    const endLine = Effect.suspend(() =>
      json || said.text === "" ? Output.status("") : Output.print("\n")
    )
    yield* Effect.provide(work, layer).pipe(
      Effect.tapError(() => endLine),
      Effect.mapError(inOptions),
      Effect.tap(() => finish),
      Effect.onInterrupt(() => finish),
    )
  })

const summary = (values: Options, seed: number, said: Said, perSecond: number) => {
  const drawn = values.temperature === 0 || values.seed !== undefined ? "" : `seed ${seed}`
  return Effect.flatMap(Output.watched, (is) => {
    const counts = `${said.tokens.length} tokens, ${perSecond} tok/s, stopped: ${said.stopped}`
    const line = is ? [counts, drawn].filter((part) => part !== "").join(", ") : drawn
    const lines = [line, is ? cacheLine(said.memory) ?? "" : ""].filter((one) => one !== "")
    return lines.length === 0 ? Effect.void : Output.note(`${lines.join("\n")}\n`)
  })
}

/** Continues a text; an interruption still reports what was said. */
export const generate: Command = { takes: "TEXT", does: "continues a text", table, run }
