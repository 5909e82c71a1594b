/** Conversations over one cache: what was read stays read, and only what is new is computed. @module */
import { Effect, Result, type Scope, type Stream } from "effect"
import * as Arena from "../cache/Arena.ts"
import * as KvCache from "../cache/KvCache.ts"
import * as Lease from "../cache/Lease.ts"
import type { Owner } from "../cache/Owner.ts"
import { stale } from "../cache/stale.ts"
import type * as Gpu from "../device/Gpu.ts"
import type {
  ArenaTooLarge,
  GpuFault,
  InvalidArgument,
  LeaseClosed,
  StaleCache,
} from "../errors.ts"
import * as Chat from "./Chat.ts"
import {
  blockSize,
  defaultChunk,
  type Event,
  type GenerateOptions,
  type Plan,
  planOf,
  whole,
} from "./events.ts"
import {
  arenaOf,
  type GenerateError,
  type History,
  speakOn,
  streamOf,
  type Tell,
} from "./generate.ts"
import type { Llama } from "./load.ts"
import * as Tokenizer from "./Tokenizer.ts"

/**
 * A conversation so far: a value. Saying something makes another; this one may still be continued otherwise. Its
 * tokens are read again where their blocks had to make room for another answer.
 */
export interface Conversation {
  readonly llama: Llama
  readonly messages: ReadonlyArray<Chat.Message>
  /** A system message; without it some templates write one of their own. */
  readonly system: string | undefined
  /** What the model has read. */
  readonly history: History
  /** Tokens of a question that are read in one step, at most: what its pool has blocks for. */
  readonly chunk: number
  /** Internal: holds the blocks of all conversations that began together. */
  readonly lease: Owner
}

/** How to begin. */
export interface ConverseOptions {
  readonly system?: string
  /** Tokens the conversation may hold. Default 4,096, or the model's context where that is less. */
  readonly contextTokens?: number
  /**
   * Tokens of a question read in one step, at most. Default 64. Layers with a window have blocks for so many more
   * than they see, so `say` reads no larger chunks than these.
   */
  readonly chunk?: number
}

/** Tokens of an answer, and how they came about. */
export interface Usage {
  /** Of the whole conversation as rendered, the question included. */
  readonly promptTokens: number
  /** Of those, how many were in the cache already. */
  readonly cachedTokens: number
  readonly completionTokens: number
}

/** The end of an answer. */
export interface Answer {
  readonly _tag: "Answered"
  /** All of it. */
  readonly text: string
  readonly usage: Usage
}

/** The end of an answer in a conversation, which goes on from it. */
export interface Answered extends Answer {
  readonly conversation: Conversation
}

/** What saying something may fail with. */
export type SayError = GenerateError | Chat.ChatError

/** Begins a conversation; its cache belongs to the scope. */
export const converse = (
  llama: Llama,
  options: ConverseOptions = {},
): Effect.Effect<
  Conversation,
  ArenaTooLarge | InvalidArgument | GpuFault,
  Gpu.Gpu | Scope.Scope
> =>
  Effect.gen(function* () {
    const { chunk = defaultChunk, contextTokens = 4096 } = options
    const bad = whole("chunk", chunk, 1) ?? whole("contextTokens", contextTokens, 1)
    if (bad !== undefined) return yield* bad
    const tokens = Math.min(llama.config.context, contextTokens)
    const arena = yield* arenaOf(llama, Math.ceil(tokens / blockSize), { chunk })
    const lease = yield* Lease.make(arena)
    const history = { cache: KvCache.empty(arena), tokens: [] }
    return { llama, messages: [], system: options.system, history, chunk, lease }
  })

/** The ids of the conversation as its model was trained to see it, up to where the answer begins. */
export const idsOf = (
  { llama, system }: Pick<Conversation, "llama" | "system">,
  messages: ReadonlyArray<Chat.Message>,
): Result.Result<ReadonlyArray<number>, Chat.ChatError> =>
  Result.gen(function* () {
    const { tokenizer } = llama
    const text = (id: number | undefined) =>
      id === undefined ? Result.succeed("") : Tokenizer.piece(tokenizer, id)
    const rendered = yield* Chat.render(yield* llama.template, messages, {
      addGenerationPrompt: true,
      bosToken: yield* text(tokenizer.bos),
      eosToken: yield* text(tokenizer.eos),
      ...(system !== undefined && { system }),
    })
    return yield* Chat.encode(tokenizer, rendered)
  })

/**
 * As much of a history as begins `ids`, and never all of them: the last token is always read, as its logits are
 * wanted. Nothing where its blocks are gone, or a window has let go of what the next token must see.
 */
const reuse = ({ cache, tokens }: History, ids: ReadonlyArray<number>): History => {
  let common = 0
  while (common < Math.min(tokens.length, ids.length - 1) && tokens[common] === ids[common]) {
    common++
  }
  const { arena, starts } = cache
  const seen = arena.layout.groups.every(({ window = Infinity }, group) =>
    starts[group]! <= Math.max(0, common + 1 - window)
  )
  return Result.match(KvCache.truncate(cache, common), {
    onFailure: () => ({ cache: KvCache.empty(arena), tokens: [] }),
    onSuccess: (shorter) =>
      seen && stale(shorter) === undefined
        ? { cache: shorter, tokens: ids.slice(0, common) }
        : { cache: KvCache.empty(arena), tokens: [] },
  })
}

/** Lets go of all other answers where their blocks may be needed: they are read again when they go on. */
const makeRoom = (
  { cache }: History,
  blocks: number,
): Effect.Effect<void, InvalidArgument | LeaseClosed | StaleCache, Lease.Lease> =>
  Effect.suspend(() =>
    Arena.usage(cache.arena).every(({ free }) => free >= blocks)
      ? Effect.void
      : Effect.asVoid(Lease.keep([cache]))
  )

/** Speaks on from a history, and sums up what was said. */
export const answerOn = (
  llama: Llama,
  known: History,
  plan: Plan,
  options: GenerateOptions,
  tell: Tell,
): Effect.Effect<
  { readonly answer: Answer; readonly history: History },
  GenerateError,
  Lease.Lease | Gpu.Gpu
> =>
  Effect.gen(function* () {
    let text = ""
    let completionTokens = 0
    const hear: Tell = (event) =>
      Effect.suspend(() => {
        if (event._tag === "Token") completionTokens++
        if (event._tag !== "Prompt") text += event.text
        return tell(event)
      })
    const history = yield* speakOn(llama, known, plan, options, hear)
    const promptTokens = plan.prompt.length
    const usage = { promptTokens, cachedTokens: known.tokens.length, completionTokens }
    return { answer: { _tag: "Answered", text, usage }, history }
  })

const answer = (
  conversation: Conversation,
  text: string,
  options: GenerateOptions,
  tell: (event: Event | Answered) => Effect.Effect<unknown>,
): Effect.Effect<void, SayError, Gpu.Gpu> =>
  Effect.gen(function* () {
    const { llama, lease, history } = conversation
    const chunk = Math.min(options.chunk ?? conversation.chunk, conversation.chunk)
    const question = [...conversation.messages, { role: "user", content: text } as const]
    const ids = yield* Effect.fromResult(idsOf(conversation, question))
    const room = KvCache.capacity(history.cache.arena) - ids.length + 1
    const maxTokens = Math.min(options.maxTokens ?? 512, Math.max(1, room))
    const plan = yield* planOf(llama, ids, { ...options, maxTokens })
    const known = reuse(history, ids)
    yield* Lease.under(lease)(makeRoom(known, plan.blocks))
    const own = { ...options, chunk }
    const { answer, history: next } = yield* Lease.under(lease)(
      answerOn(llama, known, plan, own, tell),
    )
    const messages = [...question, { role: "assistant", content: answer.text } as const]
    yield* tell({ ...answer, conversation: { ...conversation, messages, history: next } })
  })

/**
 * Says something, and streams the answer. The last event carries the conversation that goes on from it, and its
 * usage: tokens that were read before are not read again. Ends at the model's end-of-turn tokens, or after
 * `maxTokens` (default 512, or what there is room for). The stream may be cancelled: then nothing was said.
 */
export const say = (
  conversation: Conversation,
  text: string,
  options: GenerateOptions = {},
): Stream.Stream<Event | Answered, SayError, Gpu.Gpu> =>
  streamOf<Event | Answered, SayError, Gpu.Gpu>((tell) => answer(conversation, text, options, tell))
