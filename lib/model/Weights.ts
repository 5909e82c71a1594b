/** A model's weights on the device. @module */
import { Effect, type Scope } from "effect"
import type { Weight } from "../../kernels/decode.ts"
import * as Gpu from "../device/Gpu.ts"
import {
  BadModelFile,
  type GpuFault,
  type InvalidArgument,
  type ShapeMismatch,
  UnsupportedModel,
} from "../errors.ts"
import * as DTypes from "../tensor/DType.ts"
import { turns as turnsOf } from "../tensor/rope.ts"
import * as Shape from "../tensor/Shape.ts"
import type { Matrix } from "../tensor/Matrix.ts"
import type { Tensor } from "../tensor/value.ts"
import type { Config } from "./Config.ts"
import * as Gguf from "./Gguf.ts"
import type { Source } from "./gguf/Source.ts"

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

/** Norms are f32; matrices are in the form and the parts that the device wants. */
type Stored<A extends string> = A extends `${string} ${string}` ? Matrix<A> : Tensor<"f32", A>

/** One layer, by the names files use. */
export type Layer = { readonly [K in keyof typeof layerAxes]: Stored<(typeof layerAxes)[K]> }

/** All of them. */
export interface Weights {
  readonly embed: Matrix<"vocab model">
  readonly layers: ReadonlyArray<Layer>
  readonly norm: Tensor<"f32", "model">
  /** The same tensor as `embed` where the file has none of its own. */
  readonly head: Matrix<"vocab model">
  /** Frequencies of the rotary embedding. */
  readonly turns: Tensor<"u32", "pairs two">
  /** Bytes on the device. */
  readonly bytes: number
}

/** How far loading is, in bytes of weights. */
export interface Progress {
  readonly done: number
  readonly total: number
}

/** What loading weights may fail with. */
export type WeightsError =
  | BadModelFile
  | UnsupportedModel
  | ShapeMismatch
  | InvalidArgument
  | GpuFault

/**
 * Reads and uploads every tensor, one at a time, so that the peak is the weights and one tensor more, or two
 * where the device wants it tiled. Refuses a file with a tensor that is missing, misshapen or unknown (its effect would be left out).
 */
export const load: (
  source: Source,
  gguf: Gguf.Gguf,
  config: Config,
  progress: (state: Progress) => Effect.Effect<void>,
) => Effect.Effect<Weights, WeightsError, Gpu.Gpu | Scope.Scope> = Effect.fnUntraced(function* (
  source,
  gguf,
  config,
  progress,
) {
  const { numQHeads, numKvHeads, headDim, model, ffn, vocab } = config
  const sizes: Record<string, number> = {
    model,
    ffn,
    vocab,
    qDim: numQHeads * headDim,
    kvDim: numKvHeads * headDim,
  }
  const total = [...gguf.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  const unread = new Set(gguf.tensors.keys())
  let done = 0
  yield* progress({ done, total })

  const tensor = Effect.fnUntraced(function* <const A extends string>(name: string, axes: A) {
    const info = gguf.tensors.get(name)
    const bad = (offset: number, reason: string) =>
      new BadModelFile({ file: source.name, offset, reason })
    if (info === undefined) return yield* bad(0, `the tensor "${name}" is missing`)
    const { shape } = Shape.of<string>(axes, sizes)
    if (shape.join() !== info.shape.join()) {
      const need = `[${shape.join(", ")}] (${axes}) is needed`
      return yield* bad(info.offset, `"${name}" is [${info.shape.join(", ")}]: ${need}`)
    }
    const dtype = info.dtype as Weight // the reader gives no index types
    if (!axes.includes(" ") && dtype !== "f32") {
      const what = `dtype of "${name}"`
      return yield* new UnsupportedModel({ what, value: dtype, supported: "f32" })
    }
    const { buffer } = yield* Gguf.tensorBytes(source, info)
    const data = DTypes.view(dtype, buffer, Shape.size(shape))
    const made = axes.includes(" ")
      ? yield* Gpu.uploadMatrix(dtype, axes as string, sizes, data)
      : yield* Gpu.upload(dtype, axes as string, sizes, data)
    unread.delete(name)
    done += info.bytes
    yield* progress({ done, total })
    return made as Stored<A> // the two checks above are what `Stored` says
  })

  const layers: Array<Layer> = []
  const embed = yield* tensor("token_embd.weight", "vocab model")
  for (let i = 0; i < config.layers; i++) {
    const layer: Record<string, Matrix<string>> = {}
    for (const [name, axes] of Object.entries(layerAxes)) {
      layer[name] = yield* tensor(`blk.${i}.${name}.weight`, axes)
    }
    layers.push(layer as Layer)
  }
  const norm = yield* tensor("output_norm.weight", "model")
  const head = gguf.tensors.has("output.weight")
    ? yield* tensor("output.weight", "vocab model")
    : embed
  for (const name of unread) {
    const supported = "a Llama without biases, frequency factors and experts"
    return yield* new UnsupportedModel({ what: "tensors include", value: `"${name}"`, supported })
  }
  const frequencies = yield* Effect.fromResult(turnsOf(config))
  const pairs = frequencies.length / 2
  const turns = yield* Gpu.upload("u32", "pairs two", { pairs, two: 2 }, frequencies)
  return { embed, layers, norm, head, turns, bytes: done }
})
