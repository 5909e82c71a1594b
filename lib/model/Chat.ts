/**
 * Conversations: messages to the text that a model was trained to see, by the template in its own file.
 *
 * @module
 */
import { Result } from "effect"
import { BadModelFile, InvalidArgument, UnsupportedModel } from "../errors.ts"
import { limits } from "./chat/limits.ts"
import { run } from "./chat/run.ts"
import { Hostile, OverLimit, Raised } from "./chat/sandbox.ts"
import * as Gguf from "./Gguf.ts"
import * as Tokenizer from "./Tokenizer.ts"

export { limits } from "./chat/limits.ts"

/** One message of a conversation. */
export interface Message {
  /** Who says it. */
  readonly role: "system" | "user" | "assistant"
  /** What. */
  readonly content: string
}

/** A template, and where it was found. */
export interface Template {
  /** The file's name, for errors. */
  readonly file: string
  /** The byte of the file where it begins. */
  readonly offset: number
  /** Jinja. */
  readonly source: string
}

/** What rendering may fail with. */
export type ChatError = BadModelFile | InvalidArgument | UnsupportedModel

/** How to render. */
export interface RenderOptions {
  /** Whether the text ends where the assistant's answer begins. */
  readonly addGenerationPrompt: boolean
  /** A system message before all others; without it some templates write one of their own. */
  readonly system?: string
  /** The text of BOS, empty if there is none. */
  readonly bosToken: string
  /** The text of EOS, empty if there is none. */
  readonly eosToken: string
}

const key = "tokenizer.chat_template"

const unsupported = (value: string, supported: string) =>
  Result.fail(new UnsupportedModel({ what: "chat template", value, supported }))

/** The template of a file. Fails with `UnsupportedModel` where there is none. */
export const template = (
  gguf: Gguf.Metadata,
): Result.Result<Template, BadModelFile | UnsupportedModel> => {
  const entry = gguf.metadata.get(key)
  if (entry === undefined) {
    const remedy = `a file with "${key}", as instruction-tuned models have, or a plain prompt`
    return unsupported("missing", remedy)
  }
  return Result.map(
    Gguf.string(gguf, key),
    (source) => ({ file: gguf.file, offset: entry.offset, source }),
  )
}

/** A role as an error shows it: what is given may be none of the three. */
const shown = (role: string): string => /^\w{1,32}$/.test(role) ? role : Gguf.quote(role)

const explain = (
  { file, offset }: Template,
  messages: ReadonlyArray<Message>,
  error: unknown,
): Result.Result<never, ChatError> => {
  const bad = (state: string) =>
    Result.fail(new BadModelFile({ file, offset, reason: `"${key}" ${state}` }))
  if (error instanceof Raised) {
    const need = `what the model's template takes: ${Gguf.quote(error.message)}`
    const value = messages.slice(0, 8).map(({ role }) => shown(role)).join(", ")
    return Result.fail(new InvalidArgument({ name: "the messages of a chat", value, need }))
  }
  // A stack that overflows was asked for too much depth, though before anything could count it.
  const limit = error instanceof RangeError
    ? "depth"
    : error instanceof OverLimit
    ? error.limit
    : undefined
  if (limit !== undefined) return bad(`asks for more than limits.${limit}, ${limits[limit]}`)
  if (error instanceof Hostile) return bad(error.message)
  const state = error instanceof Error ? Gguf.quote(error.message) : "an unknown error"
  return unsupported(`one that stops with ${state}`, "what @huggingface/jinja runs")
}

/**
 * The text of a conversation, special tokens written out; `encode` gives its ids.
 *
 * The template is data of the model's file, so it is run within `limits`: one that asks for more fails with
 * `BadModelFile`, one that needs what is not built with `UnsupportedModel`, and messages that it refuses, or
 * none, with `InvalidArgument`. Special tokens written in a message become special tokens, as everywhere.
 *
 * @example
 * ```ts
 * import { Chat } from "@kvasir/kvasir"
 * const source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
 * const text = Chat.render(
 *   { file: "example", offset: 0, source },
 *   [{ role: "user", content: "Hello" }],
 *   { addGenerationPrompt: true, bosToken: "", eosToken: "" },
 * )
 * ```
 */
export const render = (
  self: Template,
  messages: ReadonlyArray<Message>,
  { addGenerationPrompt, system, bosToken, eosToken }: RenderOptions,
): Result.Result<string, ChatError> => {
  if (messages.length === 0) {
    const need = "one message at least"
    return Result.fail(new InvalidArgument({ name: "the messages of a chat", value: "none", need }))
  }
  if (system !== undefined && messages[0]!.role === "system") {
    const need = "absent, as the messages begin with one"
    const value = Gguf.quote(system)
    return Result.fail(new InvalidArgument({ name: "the system message", value, need }))
  }
  const all: ReadonlyArray<Message> = system === undefined
    ? messages
    : [{ role: "system", content: system }, ...messages]
  return Result.match(
    Result.try(() =>
      run(self.source, {
        messages: all.map(({ role, content }) => ({ role, content })),
        add_generation_prompt: addGenerationPrompt,
        bos_token: bosToken,
        eos_token: eosToken,
      })
    ),
    { onSuccess: (text) => Result.succeed(text), onFailure: (error) => explain(self, all, error) },
  )
}

/** The ids of a rendered text: BOS comes first where the model wants it, once, and EOS never last. */
export const encode = (
  tokenizer: Tokenizer.Tokenizer,
  text: string,
): Result.Result<ReadonlyArray<number>, InvalidArgument> =>
  Result.map(Tokenizer.encode(tokenizer, text), (ids) => {
    const { addBos, bos } = tokenizer
    return addBos && bos !== undefined && ids[0] !== bos ? [bos, ...ids] : ids
  })
