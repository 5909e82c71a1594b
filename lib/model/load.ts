/** Opening and loading a model. @module */
import { Effect, Result, type Scope } from "effect"
import * as Layout from "../cache/Layout.ts"
import type * as Gpu from "../device/Gpu.ts"
import { type BadModelFile, type InvalidArgument, UnsupportedModel } from "../errors.ts"
import * as Config from "./Config.ts"
import { embedded } from "./embedded.ts"
import * as Gguf from "./Gguf.ts"
import * as Source from "./gguf/Source.ts"
import * as Tokenizer from "./Tokenizer.ts"
import * as Weights from "./Weights.ts"

/** A model, ready to read and to speak. */
export interface Llama {
  readonly config: Config.Config
  readonly tokenizer: Tokenizer.Tokenizer
  readonly weights: Weights.Weights
}

/** What loading may fail with. */
export type LoadError = Weights.WeightsError

/** How to load. */
export interface LoadOptions {
  /** Told how far loading is. */
  readonly progress?: (state: Weights.Progress) => Effect.Effect<void>
}

/** What a file says before its weights. */
export interface Inspected {
  readonly gguf: Gguf.Gguf
  readonly tokenizer: Tokenizer.Tokenizer
  readonly config: Config.Config
}

/** Reads the vocabulary and the sizes of a file, and no weights. */
export const inspect = (
  source: Source.Source,
): Effect.Effect<
  Inspected,
  BadModelFile | UnsupportedModel
> =>
  Effect.flatMap(Gguf.open(source), (gguf) =>
    Effect.fromResult(Result.gen(function* () {
      const architecture = yield* Gguf.string(gguf, "general.architecture")
      if (architecture !== "llama") { // before the vocabulary, which may be of another kind too
        const value = Gguf.quote(architecture)
        return yield* Result.fail(
          new UnsupportedModel({ what: "architecture", value, supported: `"llama"` }),
        )
      }
      const tokenizer = yield* Tokenizer.fromGguf(gguf)
      return { gguf, tokenizer, config: yield* Config.fromGguf(gguf, tokenizer.vocabSize) }
    })))

/** Loads a model; its weights belong to the scope. */
export const fromSource = (
  source: Source.Source,
  options: LoadOptions = {},
): Effect.Effect<Llama, LoadError, Gpu.Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    const { gguf, tokenizer, config } = yield* inspect(source)
    const progress = options.progress ?? (() => Effect.void)
    return { config, tokenizer, weights: yield* Weights.load(source, gguf, config, progress) }
  })

/** Where the bytes of a model lie: a GGUF file, or the model that comes with the package. */
export const open = (
  path?: string,
): Effect.Effect<Source.Source, BadModelFile, Scope.Scope> =>
  path === undefined ? embedded : Source.file(path)

/**
 * Loads a GGUF file, or, without a path, the model that comes with the package. The weights belong to the
 * scope.
 *
 * @example
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Gpu, Llama } from "@kvasir/kvasir"
 * const program = Effect.scoped(Effect.gen(function* () {
 *   const llama = yield* Llama.load()
 *   const answer = Llama.generate(llama, "In the beginning", { maxTokens: 8, temperature: 0 })
 *   return yield* Stream.runCollect(answer)
 * }))
 * const events = await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
 * ```
 */
export const load = (
  path?: string,
  options: LoadOptions = {},
): Effect.Effect<Llama, LoadError, Gpu.Gpu | Scope.Scope> =>
  Effect.flatMap(open(path), (source) => fromSource(source, options))

/** How to lay a cache out. */
export interface LayoutOptions {
  /** Tokens of a block. Default 16. */
  readonly blockSize?: number
  /** Default `"f32"`. */
  readonly dtype?: Layout.Storage
}

/** The layout of a cache for a model of these sizes. */
export const layoutOf = (
  config: Config.Config,
  options: LayoutOptions = {},
): Result.Result<Layout.Layout, InvalidArgument> =>
  Layout.make({
    layers: config.layers,
    keyHeads: config.numKvHeads,
    keyDim: config.headDim,
    blockSize: options.blockSize ?? 16,
    capacity: config.context,
    dtype: options.dtype ?? "f32",
  })

/** The layout of a cache for this model. */
export const layout = (
  { config }: Llama,
  options: LayoutOptions = {},
): Result.Result<Layout.Layout, InvalidArgument> => layoutOf(config, options)
