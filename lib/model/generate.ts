/** Text from a model, token by token, as a stream. @module */
import { Effect, Queue, Stream } from "effect"
import * as Arena from "../cache/Arena.ts"
import * as KvCache from "../cache/KvCache.ts"
import * as Lease from "../cache/Lease.ts"
import * as Gpu from "../device/Gpu.ts"
import * as Program from "../device/Program.ts"
import {
  type ArenaTooLarge,
  ContextTooLong,
  type DeviceError,
  InvalidArgument,
  OutOfBlocks,
  type StaleTensor,
} from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import * as Chain from "./chain.ts"
import type { Llama } from "./load.ts"
import { layout } from "./load.ts"
import { type ModelError, step } from "./read.ts"
import { choose, noiseOf, type Sampling, samplingError } from "./Sampler.ts"
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

/** What a stream of events has said so far. Local to one stream. */
interface Voice {
  said: number
  decoder: Tokenizer.Decoder
  stopped: Stopped | undefined
}

/** Longest run of steps that one claim covers: blocks are taken this far ahead. */
const claimed = 32

/**
 * Continues a prompt (text, with BOS as the model wants it, or token ids). The stream owns its cache: when it
 * ends, fails or is interrupted, every block and buffer of it is free. The same options and seed give the
 * same tokens. Before anything is computed it fails with `ContextTooLong` when the prompt leaves no room,
 * and with `OutOfBlocks` when `cacheBlocks` are too few for the prompt and `maxTokens`.
 *
 * The prompt is read in chunks. Then decode steps run as captured chains: on a GPU several to a submit, the
 * next submit on its way before the tokens of the last are awaited.
 */
export const generate = (
  llama: Llama,
  prompt: string | ReadonlyArray<number>,
  options: GenerateOptions = {},
): Stream.Stream<Event, GenerateError, Gpu.Gpu> =>
  Stream.callback<Event, GenerateError, Gpu.Gpu>(
    (queue) =>
      speak(llama, prompt, options, (event) =>
        // The listener gets its turn here: on the CPU nothing else yields between tokens.
        Effect.andThen(Queue.offer(queue, event), Effect.yieldNow)).pipe(
          Effect.matchCauseEffect({
            onFailure: (cause) => Queue.failCause(queue, cause),
            onSuccess: () => Queue.end(queue),
          }),
        ),
    { bufferSize: 4 },
  )

const speak = (
  llama: Llama,
  prompt: string | ReadonlyArray<number>,
  options: GenerateOptions,
  tell: (event: Event) => Effect.Effect<unknown>,
): Effect.Effect<void, GenerateError, Gpu.Gpu> =>
  Effect.scoped(Effect.gen(function* () {
    const plan = yield* planOf(llama, prompt, options)
    const arena = yield* Arena.make(
      yield* Effect.fromResult(layout(llama, { blockSize })),
      plan.blocks,
    )
    const lease = yield* Lease.make(arena)
    const gpu = yield* Gpu.Service
    const memory = (): Memory => {
      const [{ numBlocks, free, shared, blockBytes }] = Arena.usage(arena) as [Arena.Usage]
      return {
        weightsBytes: llama.weights.bytes,
        cacheBytes: (numBlocks + 1) * blockBytes,
        blocksLive: numBlocks - free,
        blocksShared: shared,
      }
    }
    const voice: Voice = { said: 0, decoder: Tokenizer.decoder, stopped: undefined }
    const n = options.topLogits ?? 0

    /** Says a token; afterwards `stopped` tells whether it was the last. */
    const say = (id: number, topLogits: ReadonlyArray<Logit>) =>
      Effect.gen(function* () {
        const { tokenizer } = llama
        voice.said++
        const isEnd = id === tokenizer.eos && options.ignoreEos !== true
        let text = ""
        if (!isEnd) {
          ;[voice.decoder, text] = yield* Effect.fromResult(
            Tokenizer.push(tokenizer, voice.decoder, id),
          )
        }
        voice.stopped = isEnd ? "eos" : voice.said === plan.maxTokens ? "length" : undefined
        yield* tell({ _tag: "Token", id, text, topLogits, memory: memory() })
      })

    yield* tell({ _tag: "Prompt", ids: plan.prompt, done: 0, memory: memory() })
    let cache = KvCache.empty(arena)
    let token = 0
    for (let done = 0; done < plan.prompt.length;) {
      const now = plan.prompt.slice(done, done + (options.chunk ?? 64))
      done += now.length
      const isLast = done === plan.prompt.length
      const [next, logits] = yield* Effect.scoped(
        Lease.under(lease)(
          prefill(llama, cache, now, isLast ? options : undefined),
        ),
      )
      cache = next.cache
      token = next.token
      if (isLast) yield* say(token, n > 0 ? top(logits, n) : [])
      else yield* tell({ _tag: "Prompt", ids: plan.prompt, done, memory: memory() })
    }
    if (voice.stopped === undefined) {
      const { steps } = gpu.chain
      const ahead = n > 0 ? 0 : gpu.chain.ahead // a later run writes over the logits
      const chain = yield* Chain.make(llama, arena, { ...options, steps, keepLogits: n > 0 })
      while (voice.stopped === undefined) {
        const count = Math.min(plan.maxTokens - voice.said, Math.max(steps, claimed))
        const read = Effect.fnUntraced(function* (open: KvCache.Step) {
          let kept = 0
          const sent: Array<Sent> = []
          for (let offset = 0; voice.stopped === undefined && kept < count;) {
            if (offset < count && sent.length <= ahead) {
              const now = Math.min(steps, count - offset)
              const first = offset === 0 ? token : undefined
              const drawn = yield* Chain.replay(chain, open, offset, now, first)
              sent.push({ count: now, drawn, tokens: yield* Program.begin(drawn.tokens) })
              offset += now
              continue
            }
            const { count: these, drawn, tokens } = sent.shift()!
            const ids = yield* tokens
            for (let i = 0; i < these && voice.stopped === undefined; i++) {
              token = ids[i]!
              kept++
              yield* say(token, n > 0 ? top(yield* Gpu.read(drawn.logits[i]!), n) : [])
            }
          }
          return { value: undefined, kept: [kept] }
        })
        const stepped = yield* Effect.scoped(
          Lease.under(lease)(
            Program.run(KvCache.step([cache], [count], read)),
          ),
        )
        cache = stepped.caches[0]!
      }
    }
    const text = Tokenizer.flush(voice.decoder)
    yield* tell({ _tag: "End", stopped: voice.stopped, text, memory: memory() })
  }))

/** A submit on its way. */
interface Sent {
  readonly count: number
  readonly drawn: Chain.Drawn
  readonly tokens: Effect.Effect<Uint32Array, DeviceError | StaleTensor>
}

/** Reads a chunk of the prompt; draws a token after it where options are given. */
const prefill = Effect.fnUntraced(function* (
  llama: Llama,
  cache: KvCache.KvCache,
  tokens: ReadonlyArray<number>,
  options: GenerateOptions | undefined,
) {
  const { caches, value } = yield* Program.run(
    step(llama, [cache], [tokens], ({ last }) =>
      Effect.gen(function* () {
        if (options === undefined) return undefined
        const logits = yield* last
        const noise = noiseOf(options, [cache.length + tokens.length])
        const drawn = Recording.fresh("u32", "batch two", [1, 2], noise)
        return { logits, token: yield* choose(logits, drawn, options) }
      })),
  )
  const token = value === undefined ? 0 : (yield* Gpu.read(value.token))[0]!
  const logits = value === undefined || options?.topLogits === undefined
    ? new Float32Array(0)
    : yield* Gpu.read(value.logits)
  return [{ cache: caches[0]!, token }, logits] as const
})
