/** What happens while a model generates, and what it is asked for. @module */
import { Effect } from "effect"
import { ContextTooLong, InvalidArgument, OutOfBlocks } from "../errors.ts"
import type { Llama } from "./load.ts"
import { type Sampling, samplingError } from "./Sampler.ts"
import * as Tokenizer from "./Tokenizer.ts"
import type { Logit } from "./top.ts"

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

/** Blocks of layers that see alike. */
export interface GroupMemory {
  readonly layers: ReadonlyArray<number>
  /** Tokens that these layers see; undefined is all. */
  readonly window: number | undefined
  readonly blockBytes: number
  readonly blocksLive: number
  readonly blocksShared: number
  /** Of its pool. */
  readonly numBlocks: number
}

/** Bytes and blocks held at some moment. */
export interface Memory {
  readonly weightsBytes: number
  /** Of the whole pool. */
  readonly cacheBytes: number
  /** Of all groups. */
  readonly blocksLive: number
  readonly blocksShared: number
  /** Layers with a window have fewer blocks than those that see all. */
  readonly groups: ReadonlyArray<GroupMemory>
}

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

/** Tokens of a block of a generation's own cache. */
export const blockSize = 16

/** Tokens of a prompt read in one step, unless said. */
export const defaultChunk = 64

/** A request, checked: what will be read, said and held. */
export interface Plan {
  readonly prompt: ReadonlyArray<number>
  readonly maxTokens: number
  readonly blocks: number
}

/** Why an option is no whole number of at least so much; undefined where it is, or is not given. */
export const whole = (
  name: string,
  value: number | undefined,
  least: number,
): InvalidArgument | undefined =>
  value === undefined || (Number.isSafeInteger(value) && value >= least)
    ? undefined
    : new InvalidArgument({ name, value, need: `a whole number, at least ${least}` })

/** Checks everything that can be known before anything is computed. */
export const planOf = (
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
