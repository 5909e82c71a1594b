/** Text from a model, token by token, as a stream. @module */
import { Effect, Stream } from "effect"
import * as Arena from "../cache/Arena.ts"
import * as KvCache from "../cache/KvCache.ts"
import * as Lease from "../cache/Lease.ts"
import * as Gpu from "../device/Gpu.ts"
import * as Program from "../device/Program.ts"
import { type ArenaTooLarge, ContextTooLong, InvalidArgument, OutOfBlocks } from "../errors.ts"
import type { Llama } from "./load.ts"
import { layout } from "./load.ts"
import { type ModelError, step } from "./read.ts"
import { choose, type Sampling, samplingError } from "./Sampler.ts"
import * as Tokenizer from "./Tokenizer.ts"
import { type Logit, top } from "./top.ts"

/** How much to say, and how. */
export interface GenerateOptions extends Sampling {
  /** Most tokens to say. Default 128, or what the context has room for. */
  readonly maxTokens?: number
  /** Go on after the model's end token. */
  readonly ignoreEos?: boolean
  /** Report the n most probable tokens of every draw. Default 0. */
  readonly topLogits?: number
  /** Blocks of the cache's pool. Default: as many as the prompt and `maxTokens` need. */
  readonly cacheBlocks?: number
  /** Tokens of the prompt read in one step. Default 64. */
  readonly chunk?: number
}

/** Why it stopped by itself. */
export type Stopped = "eos" | "length"

/** What happens on the way. */
export type Event =
  | {
    readonly _tag: "Prompt"
    /** Ids of the whole prompt. */
    readonly ids: ReadonlyArray<number>
    /** How many of them are read. */
    readonly done: number
    readonly memory: Memory
  }
  | {
    readonly _tag: "Token"
    readonly id: number
    /** Text that is certain now: it never splits a character, so it may be empty. */
    readonly text: string
    /** The distribution this token was drawn from, most probable first. */
    readonly topLogits: ReadonlyArray<Logit>
    readonly memory: Memory
  }
  | {
    readonly _tag: "End"
    readonly stopped: Stopped
    /** What was held back of a character that never became whole. */
    readonly text: string
    readonly memory: Memory
  }

/** Bytes and blocks held at some moment. */
export interface Memory {
  readonly weightsBytes: number
  /** Of the whole pool. */
  readonly cacheBytes: number
  readonly blocksLive: number
  readonly blocksShared: number
}

/** What generating may fail with. */
export type GenerateError =
  | ModelError
  | ContextTooLong
  | ArenaTooLarge
  | Program.RunError

interface State {
  readonly cache: KvCache.KvCache
  /** Read next: the rest of the prompt, or the token just drawn. */
  readonly pending: ReadonlyArray<number>
  readonly said: number
  readonly decoder: Tokenizer.Decoder
  readonly ended: Stopped | "reported" | undefined
}

const blockSize = 16

interface Plan {
  readonly prompt: ReadonlyArray<number>
  readonly maxTokens: number
  readonly blocks: number
}

const whole = (name: string, value: number | undefined, least: number) =>
  value === undefined || (Number.isSafeInteger(value) && value >= least)
    ? undefined
    : new InvalidArgument({ name, value, need: `a whole number, at least ${least}` })

const planOf = (
  { config, tokenizer }: Llama,
  prompt: string | ReadonlyArray<number>,
  options: GenerateOptions,
): Effect.Effect<Plan, InvalidArgument | ContextTooLong | OutOfBlocks> =>
  Effect.gen(function* () {
    const bad = samplingError(options) ?? whole("maxTokens", options.maxTokens, 1) ??
      whole("cacheBlocks", options.cacheBlocks, 1) ?? whole("chunk", options.chunk, 1) ??
      whole("topLogits", options.topLogits, 0)
    if (bad !== undefined) return yield* bad
    const ids = typeof prompt === "string"
      ? yield* Effect.fromResult(Tokenizer.encode(tokenizer, prompt, { addSpecial: true }))
      : prompt
    if (ids.length === 0) {
      const need = "at least one token: the model has no token that begins a text"
      return yield* new InvalidArgument({ name: "prompt", value: '""', need })
    }
    const room = config.context - ids.length
    if (room < 1) return yield* new ContextTooLong({ tokens: ids.length, context: config.context })
    const maxTokens = Math.min(room, options.maxTokens ?? 128)
    // The last token said is never read again, so it needs no slot.
    const needed = Math.ceil((ids.length + maxTokens - 1) / blockSize)
    const blocks = options.cacheBlocks ?? needed
    if (blocks < needed) {
      return yield* new OutOfBlocks({ group: 0, needed, free: blocks, total: blocks })
    }
    return { prompt: ids, maxTokens, blocks }
  })

/** Reads what is pending, or the next chunk of it; a token is drawn when nothing is left. */
const turn = (llama: Llama, options: GenerateOptions, state: State) =>
  Effect.scoped(Effect.gen(function* () {
    const now = state.pending.slice(0, options.chunk ?? 64)
    const rest = state.pending.slice(now.length)
    const next = yield* Program.run(
      step(llama, [state.cache], [now], ({ last }) =>
        Effect.gen(function* () {
          if (rest.length > 0) return undefined
          const logits = yield* last
          const position = state.cache.length + now.length
          return { logits, token: yield* choose(logits, [position], options) }
        })),
    )
    const cache = next.caches[0]!
    if (next.value === undefined) return { cache, rest, drawn: undefined }
    const { token, logits } = next.value
    const id = (yield* Gpu.read(token))[0]!
    const n = options.topLogits ?? 0
    const topLogits = n > 0 ? top(yield* Gpu.read(logits), n) : []
    return { cache, rest, drawn: { id, topLogits } }
  }))

/**
 * Continues a prompt (text, with BOS as the model wants it, or token ids). The stream owns its cache: when it
 * ends, fails or is interrupted, every block and buffer of it is free. The same options and seed give the
 * same tokens. Before anything is computed it fails with `ContextTooLong` when the prompt leaves no room,
 * and with `OutOfBlocks` when `cacheBlocks` are too few for the prompt and `maxTokens`.
 */
export const generate = (
  llama: Llama,
  prompt: string | ReadonlyArray<number>,
  options: GenerateOptions = {},
): Stream.Stream<Event, GenerateError, Gpu.Gpu> =>
  Stream.unwrap(Effect.gen(function* () {
    const plan = yield* planOf(llama, prompt, options)
    const { tokenizer } = llama
    const layoutOf = yield* Effect.fromResult(layout(llama, { blockSize }))
    const arena = yield* Arena.make(layoutOf, plan.blocks)
    const lease = yield* Lease.make(arena)
    const memory = (): Memory => {
      const [{ numBlocks, free, shared, blockBytes }] = Arena.usage(arena) as [Arena.Usage]
      return {
        weightsBytes: llama.weights.bytes,
        cacheBytes: (numBlocks + 1) * blockBytes,
        blocksLive: numBlocks - free,
        blocksShared: shared,
      }
    }
    const start: State = {
      cache: KvCache.empty(arena),
      pending: plan.prompt,
      said: 0,
      decoder: Tokenizer.decoder,
      ended: undefined,
    }
    const advance = (
      state: State,
    ): Effect.Effect<readonly [Event, State] | undefined, GenerateError, Gpu.Gpu> =>
      Effect.gen(function* () {
        if (state.ended === "reported") return undefined
        if (state.ended !== undefined) {
          const text = Tokenizer.flush(state.decoder)
          const event: Event = { _tag: "End", stopped: state.ended, text, memory: memory() }
          return [event, { ...state, ended: "reported" as const }] as const
        }
        const { cache, rest, drawn } = yield* Lease.under(lease)(turn(llama, options, state))
        if (drawn === undefined) {
          const done = plan.prompt.length - rest.length
          const event: Event = { _tag: "Prompt", ids: plan.prompt, done, memory: memory() }
          return [event, { ...state, cache, pending: rest }] as const
        }
        const { id, topLogits } = drawn
        const said = state.said + 1
        const isEnd = id === tokenizer.eos && options.ignoreEos !== true
        const [decoder, text] = isEnd
          ? [state.decoder, ""] as const
          : yield* Effect.fromResult(Tokenizer.push(tokenizer, state.decoder, id))
        const ended = isEnd ? "eos" : said === plan.maxTokens ? "length" : undefined
        const event: Event = { _tag: "Token", id, text, topLogits, memory: memory() }
        return [event, { cache, pending: [id], said, decoder, ended }] as const
      })
    const begin: Event = { _tag: "Prompt", ids: plan.prompt, done: 0, memory: memory() }
    return Stream.concat(Stream.succeed(begin), Stream.unfold(start, advance))
  }))
