/** One answer to a list of messages. @module */
import { Effect, type Stream } from "effect"
import * as KvCache from "../cache/KvCache.ts"
import * as Lease from "../cache/Lease.ts"
import type * as Gpu from "../device/Gpu.ts"
import type * as Chat from "./Chat.ts"
import { type Answer, answerOn, idsOf, type SayError } from "./conversation.ts"
import { type Event, type GenerateOptions, planOf } from "./events.ts"
import { arenaOf, streamOf } from "./generate.ts"
import type { Llama } from "./load.ts"

/** How to answer. */
export interface ChatOptions extends GenerateOptions {
  /** A system message, where the messages begin with none. */
  readonly system?: string
}

/**
 * Answers a question, or messages of which the last is the user's, in the model's own template. What is told ends
 * with the whole text and its usage. Says at most `maxTokens` (default 512, or what the context has room for). The
 * stream owns its cache, as that of `generate` does: when it ends, fails or is interrupted, nothing stays behind.
 * `converse` and `say` keep the cache, so that a second question reads only what is new.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { Effect, Result, Stream } from "effect"
 * import { Gpu, Llama } from "@kvasir/kvasir"
 * // The embedded model was not made for chats and has no template.
 * const source = "{{ bos_token }}{% for m in messages %}{{ m.content }}\n{% endfor %}"
 * const template = Result.succeed({ file: "example", offset: 0, source })
 * const program = Effect.scoped(Effect.gen(function* () {
 *   const llama = { ...yield* Llama.load(), template }
 *   const messages = [
 *     { role: "system", content: "Speak as of old." },
 *     { role: "user", content: "Who made the heaven?" },
 *   ] as const
 *   return yield* Stream.runLast(Llama.chat(llama, messages, { maxTokens: 8, temperature: 0 }))
 * }))
 * const last = await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
 * assert.ok(last._tag === "Some" && last.value._tag === "Answered")
 * console.log(last.value.text, last.value.usage.completionTokens) // … 8
 * ```
 */
export const chat = (
  llama: Llama,
  messages: string | ReadonlyArray<Chat.Message>,
  { system, ...options }: ChatOptions = {},
): Stream.Stream<Event | Answer, SayError, Gpu.Gpu> =>
  streamOf<Event | Answer, SayError, Gpu.Gpu>((tell) =>
    Effect.scoped(Effect.gen(function* () {
      const list = typeof messages === "string"
        ? [{ role: "user", content: messages } as const]
        : messages
      const ids = yield* Effect.fromResult(idsOf({ llama, system }, list))
      const plan = yield* planOf(llama, ids, { ...options, maxTokens: options.maxTokens ?? 512 })
      const arena = yield* arenaOf(llama, plan.blocks, options)
      const empty = { cache: KvCache.empty(arena), tokens: [] }
      const { answer } = yield* Lease.scoped(arena)(answerOn(llama, empty, plan, options, tell))
      yield* tell(answer)
    }))
  )
