/**
 * A model as stored, whatever the format: sizes, vocabulary, and tensors by the names of GGUF.
 *
 * @module
 */
import { Effect, type Result } from "effect"
import type { BadModelFile, UnsupportedModel } from "../errors.ts"
import * as Chat from "./Chat.ts"
import * as Config from "./Config.ts"
import * as Gguf from "./Gguf.ts"
import * as Factors from "./gguf/factors.ts"
import type { Source } from "./gguf/Source.ts"
import * as Tokenizer from "./Tokenizer.ts"

/** A stored tensor. */
export interface Stored extends Gguf.TensorInfo {
  /** The file it is in, for errors. */
  readonly file: string
  /** Fills `into` with its bytes from `at` on: it is read a part at a time. */
  readonly fill: (
    into: Uint8Array<ArrayBuffer>,
    at: number,
  ) => Effect.Effect<void, BadModelFile>
}

/** What a model says before its weights, and how to read them, one tensor at a time. */
export interface Checkpoint {
  /** A file or a folder, for errors. */
  readonly name: string
  readonly config: Config.Config
  readonly tokenizer: Tokenizer.Tokenizer
  /** How a conversation becomes a text, or why it cannot. */
  readonly template: Result.Result<Chat.Template, OpenError>
  /** By canonical names, such as `blk.0.attn_q.weight`. */
  readonly tensors: ReadonlyMap<string, Stored>
  /** What the files call the tensor of a canonical name. */
  readonly called: (name: string) => string
}

/** Why a model cannot be opened: it is damaged, or asks for what is not built. */
export type OpenError = BadModelFile | UnsupportedModel

/** A model may be stretched twice: by a tensor of its own, and all of it by a factor. */
const merged = ({ factors, ...config }: Config.Config, own: Config.Config["factors"]) => ({
  ...config,
  factors: own?.map((factor, p) => factor * (factors?.[p] ?? 1)) ?? factors,
})

/** Opens a GGUF file: reads no weights. */
export const fromGguf = (source: Source): Effect.Effect<Checkpoint, OpenError> =>
  Effect.gen(function* () {
    const gguf = yield* Gguf.open(source)
    // Before the vocabulary, which may be of another kind too.
    const family = yield* Effect.fromResult(Config.familyOf(gguf))
    const tokenizer = yield* Effect.fromResult(Tokenizer.fromGguf(gguf))
    const config = yield* Effect.fromResult(Config.fromGguf(gguf, tokenizer.vocabSize))
    const tensors = new Map<string, Stored>()
    for (const [name, info] of gguf.tensors) {
      const fill: Stored["fill"] = (into, at) => source.fill(into, info.offset + at)
      tensors.set(name, { ...info, file: source.name, fill })
    }
    // Which of two bases such a tensor is for, no writer says: there it stays, and is refused as unexpected.
    const scales = family.windows === undefined
    const factors = scales ? yield* Factors.read(source, gguf, config.rotary) : undefined
    if (scales) tensors.delete(Factors.name)
    const template = Chat.template(gguf)
    const called = (name: string) => name
    return {
      name: source.name,
      config: merged(config, factors),
      tokenizer,
      template,
      tensors,
      called,
    }
  })
