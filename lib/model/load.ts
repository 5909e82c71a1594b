/** Opening and loading a model. @module */
import { Effect, type Result, type Scope } from "effect"
import * as Layout from "../cache/Layout.ts"
import type * as Gpu from "../device/Gpu.ts"
import { BadModelFile, type InvalidArgument } from "../errors.ts"
import * as Checkpoint from "./Checkpoint.ts"
import * as Config from "./Config.ts"
import { embedded } from "./embedded.ts"
import * as Folder from "./Folder.ts"
import * as Source from "./gguf/Source.ts"
import type * as Tokenizer from "./Tokenizer.ts"
import * as Weights from "./Weights.ts"

/** A model, ready to read and to speak. */
export interface Llama {
  readonly config: Config.Config
  readonly tokenizer: Tokenizer.Tokenizer
  readonly weights: Weights.Weights
  /** How a conversation becomes a text, or why it cannot. */
  readonly template: Checkpoint.Checkpoint["template"]
}

/** What loading may fail with. */
export type LoadError = Weights.WeightsError

/** How to load. */
export interface LoadOptions {
  /** Told how far loading is. */
  readonly progress?: (state: Weights.Progress) => Effect.Effect<void>
}

/** Opens a model: reads its vocabulary and its sizes, and no weights. `load` says what a path may be. */
export const open = (
  path?: string,
): Effect.Effect<Checkpoint.Checkpoint, Checkpoint.OpenError, Scope.Scope> =>
  Effect.gen(function* () {
    if (path === undefined) return yield* Checkpoint.fromGguf(yield* embedded)
    if (yield* Folder.isFolder(path)) return yield* Folder.open(path)
    if (path.endsWith(".safetensors")) {
      const reason = "weights alone have no vocabulary and no sizes: name the folder they are in"
      return yield* new BadModelFile({ file: path, offset: 0, reason })
    }
    return yield* Checkpoint.fromGguf(yield* Source.file(path))
  })

/** Loads the weights of an open model; they belong to the scope. */
export const fromCheckpoint = (
  checkpoint: Checkpoint.Checkpoint,
  { progress = () => Effect.void }: LoadOptions = {},
): Effect.Effect<Llama, LoadError, Gpu.Gpu | Scope.Scope> => {
  const { config, tokenizer, template } = checkpoint
  return Effect.map(
    Weights.load(checkpoint, progress),
    (weights) => ({ config, tokenizer, weights, template }),
  )
}

const opened = <R>(
  checkpoint: Effect.Effect<Checkpoint.Checkpoint, Checkpoint.OpenError, R>,
  options: LoadOptions,
): Effect.Effect<Llama, LoadError, Gpu.Gpu | Scope.Scope | R> =>
  Effect.gen(function* () {
    yield* options.progress?.({ phase: "header", done: 0, total: 0 }) ?? Effect.void
    return yield* fromCheckpoint(yield* checkpoint, options)
  })

/** Loads a GGUF file from wherever its bytes come; the weights belong to the scope. */
export const fromSource = (
  source: Source.Source,
  options: LoadOptions = {},
): Effect.Effect<Llama, LoadError, Gpu.Gpu | Scope.Scope> =>
  opened(Checkpoint.fromGguf(source), options)

/**
 * Loads a GGUF file, a folder as Hugging Face lays it out (`config.json`, `tokenizer.json` and safetensors),
 * or, without a path, the model that comes with the package. The weights belong to the scope.
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
): Effect.Effect<Llama, LoadError, Gpu.Gpu | Scope.Scope> => opened(open(path), options)

/** How to lay a cache out. */
export interface LayoutOptions {
  /** Tokens of a block. Default 16. */
  readonly blockSize?: number
  /** Default `"f32"`. */
  readonly dtype?: Layout.Storage
}

/** Layers that see all, and layers that see a window: each group keeps the blocks it can see. */
const groupsOf = (config: Config.Config): { readonly groups?: ReadonlyArray<Layout.Group> } => {
  if (config.window === undefined) return {}
  const layers = Array.from({ length: config.layers }, (_, i) => i)
  const of = (windowed: boolean) => layers.filter((i) => Config.isWindowed(config, i) === windowed)
  return {
    groups: [
      { layers: of(false), window: undefined },
      { layers: of(true), window: config.window },
    ].filter((group) => group.layers.length > 0),
  }
}

/** The layout of a cache for a model of these sizes. */
export const layoutOf = (
  config: Config.Config,
  options: LayoutOptions = {},
): Result.Result<Layout.Layout, InvalidArgument> =>
  Layout.make({
    layers: config.layers,
    ...groupsOf(config),
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
