/** Text from a model, token by token, as a stream. @module */
import { Effect, Queue, type Scope, Stream } from "effect"
import * as Arena from "../cache/Arena.ts"
import * as KvCache from "../cache/KvCache.ts"
import * as Lease from "../cache/Lease.ts"
import * as Gpu from "../device/Gpu.ts"
import * as Program from "../device/Program.ts"
import type { ArenaTooLarge, ContextTooLong, GpuFault, InvalidArgument } from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import * as Chain from "./chain.ts"
import { decode } from "./decode.ts"
import {
  blockSize,
  defaultChunk,
  type Event,
  type GenerateOptions,
  type GroupMemory,
  type Memory,
  type Plan,
  planOf,
  type Stopped,
} from "./events.ts"
import { layout, type Llama } from "./load.ts"
import { type ModelError, step } from "./read.ts"
import { choose, noiseOf } from "./Sampler.ts"
import { blocksOf, slide } from "./slide.ts"
import * as Tokenizer from "./Tokenizer.ts"
import { type Logit, top } from "./top.ts"

/** What generating may fail with. */
export type GenerateError = ModelError | ContextTooLong | ArenaTooLarge | Program.RunError

/** Slots that one claim covers at least: blocks are taken this far ahead. */
const claimed = 32

const memoryOf = ({ weights }: Llama, arena: Arena.Arena): Memory => {
  const groups = Arena.usage(arena).map(({ numBlocks, free, shared, blockBytes }, i) => {
    const blocks = { blocksLive: numBlocks - free, blocksShared: shared, numBlocks }
    return { ...arena.layout.groups[i]!, blockBytes, ...blocks }
  })
  const sum = (of: (group: GroupMemory) => number) => groups.reduce((n, g) => n + of(g), 0)
  return {
    weightsBytes: weights.bytes,
    cacheBytes: sum(({ numBlocks, blockBytes }) => (numBlocks + 1) * blockBytes),
    blocksLive: sum(({ blocksLive }) => blocksLive),
    blocksShared: sum(({ blocksShared }) => blocksShared),
    groups,
  }
}

/** Reads a chunk of the prompt; where options are given, draws the token after it. */
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
        const data = noiseOf(options, [cache.length + tokens.length])
        const noise = Recording.fresh("u32", "batch two", [1, 2], data)
        return { logits, token: yield* choose(logits, noise, options) }
      })),
  )
  const next = caches[0]!
  if (value === undefined) return { cache: next, drawn: undefined }
  const id = (yield* Gpu.read(value.token))[0]!
  const logits = (options?.topLogits ?? 0) > 0 ? yield* Gpu.read(value.logits) : []
  return { cache: next, drawn: { id, logits } }
})

/** A cache, and the tokens whose keys and values it holds. */
export interface History {
  readonly cache: KvCache.KvCache
  readonly tokens: ReadonlyArray<number>
}

/** Hears what happens, in order. */
export type Tell = (event: Event) => Effect.Effect<unknown>

/** An arena for sequences of so many blocks of this model. */
export const arenaOf = (
  llama: Llama,
  blocks: number,
  options: GenerateOptions,
): Effect.Effect<
  Arena.Arena,
  ArenaTooLarge | InvalidArgument | GpuFault,
  Gpu.Gpu | Scope.Scope
> =>
  Effect.gen(function* () {
    const { chain: { steps } } = yield* Gpu.Service
    const cacheLayout = yield* Effect.fromResult(layout(llama, { blockSize }))
    const ahead = Math.max(options.chunk ?? defaultChunk, steps, claimed)
    return yield* Arena.make(cacheLayout, blocksOf(cacheLayout, blocks, ahead))
  })

/**
 * Reads what the history lacks of the plan's prompt, speaks, and gives the history afterwards. The history's
 * tokens are the prompt's first ones, and not all of them.
 */
export const speakOn = (
  llama: Llama,
  history: History,
  plan: Plan,
  options: GenerateOptions,
  tell: Tell,
): Effect.Effect<History, GenerateError, Lease.Lease | Gpu.Gpu> =>
  Effect.scoped(Effect.gen(function* () {
    const { chain: { steps, ahead: submits } } = yield* Gpu.Service
    const { arena } = history.cache
    const memory = () => memoryOf(llama, arena)
    const n = options.topLogits ?? 0
    const said: Array<number> = []
    let decoder = Tokenizer.decoder
    let stopped: Stopped | undefined
    let { cache } = history

    /** True while more is to be said. */
    const say = Effect.fnUntraced(function* (id: number, topLogits: ReadonlyArray<Logit>) {
      const isEnd = llama.tokenizer.stops.has(id) && options.ignoreEos !== true
      const [next, text] = isEnd
        ? [decoder, ""] as const
        : yield* Effect.fromResult(Tokenizer.push(llama.tokenizer, decoder, id))
      said.push(id)
      decoder = next
      stopped = isEnd ? "eos" : said.length === plan.maxTokens ? "length" : undefined
      yield* tell({ _tag: "Token", id, text, topLogits, memory: memory() })
      return stopped === undefined
    })

    const cached = history.tokens.length
    yield* tell({ _tag: "Prompt", ids: plan.prompt, done: cached, memory: memory() })
    for (let done = cached; done < plan.prompt.length;) {
      const chunk = plan.prompt.slice(done, done + (options.chunk ?? defaultChunk))
      done += chunk.length
      const asked = done === plan.prompt.length ? options : undefined
      const next = yield* Effect.scoped(prefill(llama, cache, chunk, asked))
      cache = yield* slide(next.cache)
      yield* tell({ _tag: "Prompt", ids: plan.prompt, done, memory: memory() })
      if (next.drawn !== undefined) yield* say(next.drawn.id, top(next.drawn.logits, n))
    }
    if (stopped === undefined) {
      const chain = yield* Chain.make(llama, arena, { ...options, steps, keepLogits: n > 0 })
      while (stopped === undefined) {
        const run = decode(chain, cache, said.at(-1)!, {
          count: Math.min(plan.maxTokens - said.length, Math.max(steps, claimed)),
          ahead: n > 0 ? 0 : submits, // a later run would write over the logits
          hear: ({ id, drawn, index }) =>
            Effect.gen(function* () {
              const logits = n > 0 ? yield* Gpu.read(drawn.logits[index]!) : []
              return yield* say(id, top(logits, n))
            }),
        })
        const next = yield* Effect.scoped(Program.run(run))
        cache = yield* slide(next.caches[0]!)
      }
    }
    yield* tell({ _tag: "End", stopped, text: Tokenizer.flush(decoder), memory: memory() })
    return { cache, tokens: [...plan.prompt, ...said].slice(0, cache.length) }
  }))

/** Holds everything it needs until it ends. */
const speak = (
  llama: Llama,
  prompt: string | ReadonlyArray<number>,
  options: GenerateOptions,
  tell: Tell,
): Effect.Effect<void, GenerateError, Gpu.Gpu> =>
  Effect.scoped(Effect.gen(function* () {
    const plan = yield* planOf(llama, prompt, options)
    const arena = yield* arenaOf(llama, plan.blocks, options)
    const empty = { cache: KvCache.empty(arena), tokens: [] }
    yield* Lease.scoped(arena)(speakOn(llama, empty, plan, options, tell))
  }))

/** What is told, as a stream; what it runs ends with the stream. */
export const streamOf = <A, E, R>(
  run: (tell: (event: A) => Effect.Effect<unknown>) => Effect.Effect<unknown, E, R>,
): Stream.Stream<A, E, Exclude<R, Scope.Scope>> =>
  Stream.callback<A, E, R>((queue) => {
    // The listener gets its turn here: on the CPU nothing else yields between tokens.
    const tell = (event: A) => Effect.andThen(Queue.offer(queue, event), Effect.yieldNow)
    return Effect.matchCauseEffect(run(tell), {
      onFailure: (cause) => Queue.failCause(queue, cause),
      onSuccess: () => Queue.end(queue),
    })
  }, { bufferSize: 4 })

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
  streamOf<Event, GenerateError, Gpu.Gpu>((tell) => speak(llama, prompt, options, tell))
