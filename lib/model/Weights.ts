/** A model's weights on the device. @module */
import { Effect, type Scope } from "effect"
import type { Weight } from "../../kernels/decode.ts"
import * as Gpu from "../device/Gpu.ts"
import * as Loader from "../device/loader.ts"
import {
  BadModelFile,
  type DeviceError,
  type InvalidArgument,
  type ShapeMismatch,
  UnsupportedModel,
} from "../errors.ts"
import { turns as turnsOf, type TurnsOptions } from "../tensor/rope.ts"
import * as Shape from "../tensor/Shape.ts"
import type { Matrix } from "../tensor/Matrix.ts"
import type { Tensor } from "../tensor/value.ts"
import type { Checkpoint } from "./Checkpoint.ts"
import { isWindowed } from "./Config.ts"
import type { Extras } from "./families.ts"
import { quote } from "./gguf/bytes.ts"

const layerAxes = {
  attn_norm: "model",
  attn_q: "qDim model",
  attn_k: "kvDim model",
  attn_v: "kvDim model",
  attn_output: "model qDim",
  ffn_norm: "model",
  ffn_gate: "ffn model",
  ffn_up: "ffn model",
  ffn_down: "model ffn",
} as const

const biasAxes = {
  "attn_q.bias": "qDim",
  "attn_k.bias": "kvDim",
  "attn_v.bias": "kvDim",
} as const
const headNormAxes = {
  "attn_q_norm.weight": "headDim",
  "attn_k_norm.weight": "headDim",
} as const
const postNormAxes = {
  "post_attention_norm.weight": "model",
  "post_ffw_norm.weight": "model",
} as const

/** What a family has beside what all have, by the names of files. */
const extrasOf = ({ biases, headNorms, postNorms }: Extras): Readonly<Record<string, string>> => ({
  ...(biases && biasAxes),
  ...(headNorms && headNormAxes),
  ...(postNorms && postNormAxes),
})

/** Norms are f32; matrices are in the form and the parts that the device wants. */
type Stored<A extends string> = A extends `${string} ${string}` ? Matrix<A> : Tensor<"f32", A>

type Named<T extends Readonly<Record<string, string>>> = {
  readonly [K in keyof T]: Stored<T[K]>
}

/** One layer, by the names files use. */
export type Layer =
  & Named<typeof layerAxes>
  & Partial<Named<typeof biasAxes & typeof headNormAxes & typeof postNormAxes>>

/** All of them. */
export interface Weights {
  readonly embed: Matrix<"vocab model">
  readonly layers: ReadonlyArray<Layer>
  readonly norm: Tensor<"f32", "model">
  /** The same tensor as `embed` where the file has none of its own. */
  readonly head: Matrix<"vocab model">
  /** Frequencies of the rotary embedding, one tensor a layer; layers of one base share it. */
  readonly turns: ReadonlyArray<Tensor<"u32", "pairs two">>
  /** Bytes on the device. */
  readonly bytes: number
}

/** How far loading is. */
export interface Progress {
  /** `header`: sizes and the vocabulary are read, and how many bytes follow is not known yet. */
  readonly phase: "header" | "weights"
  /** Bytes of weights. */
  readonly done: number
  readonly total: number
}

/** What loading weights may fail with. */
export type WeightsError =
  | BadModelFile
  | UnsupportedModel
  | ShapeMismatch
  | InvalidArgument
  | DeviceError

/**
 * Reads every tensor to where it stays, one at a time and a few MiB at a time, so that the peak is little more than
 * the weights. Refuses a model with a tensor that is missing, misshapen or unknown (its
 * effect would be left out).
 */
export const load: (
  checkpoint: Checkpoint,
  progress: (state: Progress) => Effect.Effect<void>,
) => Effect.Effect<Weights, WeightsError, Gpu.Gpu | Scope.Scope> = Effect.fnUntraced(function* (
  checkpoint,
  progress,
) {
  const { config, tensors } = checkpoint
  const { numQHeads, numKvHeads, headDim, model, ffn, vocab } = config
  const sizes: Record<string, number> = {
    model,
    ffn,
    vocab,
    qDim: numQHeads * headDim,
    kvDim: numKvHeads * headDim,
    headDim,
  }
  const total = [...tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  const unread = new Set(tensors.keys())
  let done = 0
  yield* progress({ phase: "weights", done, total })
  const loader = yield* Loader.make

  const tensor = Effect.fnUntraced(function* <const A extends string>(name: string, axes: A) {
    const info = tensors.get(name)
    if (info === undefined) {
      const reason = `the tensor "${checkpoint.called(name)}" is missing`
      return yield* new BadModelFile({ file: checkpoint.name, offset: 0, reason })
    }
    const { shape } = Shape.of<string>(axes, sizes)
    if (shape.join() !== info.shape.join()) {
      const need = `[${shape.join(", ")}] (${axes}) is needed`
      const reason = `"${info.name}" is [${info.shape.join(", ")}]: ${need}`
      return yield* new BadModelFile({ file: info.file, offset: info.offset, reason })
    }
    const dtype = info.dtype as Weight // the reader gives no index types
    if (!axes.includes(" ") && dtype !== "f32") {
      const what = `dtype of "${info.name}"`
      return yield* new UnsupportedModel({ what, value: dtype, supported: "f32" })
    }
    const fill: typeof info.fill = (into, at) =>
      Effect.andThen(
        info.fill(into, at),
        Effect.suspend(() => progress({ phase: "weights", done: done += into.length, total })),
      )
    const made = axes.includes(" ")
      ? yield* loader.matrix(dtype, axes as string, sizes, fill)
      : yield* loader.tensor(dtype, axes as string, sizes, fill)
    unread.delete(name)
    return made as Stored<A> // the two checks above are what `Stored` says
  })

  const layers: Array<Layer> = []
  const embed = yield* tensor("token_embd.weight", "vocab model")
  for (let i = 0; i < config.layers; i++) {
    const layer: Record<string, Matrix<string>> = {}
    for (const [name, axes] of Object.entries(layerAxes)) {
      layer[name] = yield* tensor(`blk.${i}.${name}.weight`, axes)
    }
    for (const [name, axes] of Object.entries(extrasOf(config.family))) {
      layer[name] = yield* tensor(`blk.${i}.${name}`, axes)
    }
    layers.push(layer as Layer)
  }
  const norm = yield* tensor("output_norm.weight", "model")
  const head = tensors.has("output.weight") ? yield* tensor("output.weight", "vocab model") : embed
  for (const unknown of unread) {
    const { name } = tensors.get(unknown)!
    const supported = `a "${config.family.architecture}" without it`
    return yield* new UnsupportedModel({ what: "unexpected tensor", value: quote(name), supported })
  }
  const turnsBy = Effect.fnUntraced(function* (options: Omit<TurnsOptions, "rotary">) {
    const { rotary } = config
    const frequencies = yield* Effect.fromResult(turnsOf({ ...options, rotary }))
    const sizes = { pairs: frequencies.length / 2, two: 2 }
    return yield* Gpu.upload("u32", "pairs two", sizes, frequencies)
  })
  yield* loader.done
  const { theta, factors, windows } = config
  const everything = yield* turnsBy({ theta, ...(factors && { factors }) })
  const windowed = windows === undefined ? everything : yield* turnsBy({ theta: windows.theta })
  const turns = layers.map((_, i) => isWindowed(config, i) ? windowed : everything)
  return { embed, layers, norm, head, turns, bytes: done }
})
