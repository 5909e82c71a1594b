/** The sizes and constants of a Llama-family model, read from a file's metadata. @module */
import { Result } from "effect"
import { type BadModelFile, UnsupportedModel } from "../errors.ts"
import type { Pairing } from "../tensor/rope.ts"
import * as families from "./families.ts"
import type { Family } from "./families.ts"
import * as Gguf from "./Gguf.ts"

/** What the forward pass needs to know. */
export interface Config {
  readonly name: string
  readonly layers: number
  /** Width of the residual stream. */
  readonly model: number
  readonly ffn: number
  readonly vocab: number
  readonly numQHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  /** Elements of each head that RoPE turns. */
  readonly rotary: number
  readonly theta: number
  readonly pairing: Pairing
  readonly family: Family
  /** Tokens that windowed layers see, self included; undefined where every layer sees all. */
  readonly window: number | undefined
  readonly eps: number
  /** Tokens the model was trained to see. */
  readonly context: number
}

/** Larger sizes than any model of the family has; a file that claims more is damaged. */
export const most: {
  readonly layers: number
  readonly width: number
  readonly heads: number
  readonly context: number
} = { layers: 1024, width: 1 << 20, heads: 4096, context: 1 << 24 }

const unsupported = (what: string, value: string, supported: string) =>
  Result.fail(new UnsupportedModel({ what, value, supported }))

/** Does a layer see a window only? */
export const isWindowed = ({ family: { windows }, window }: Config, layer: number): boolean =>
  window !== undefined && windows !== undefined && (layer + 1) % windows.every !== 0

/** The family of a file; asked first, as everything else depends on it. */
export const familyOf = (
  gguf: Gguf.Gguf,
): Result.Result<Family, BadModelFile | UnsupportedModel> =>
  Result.flatMap(Gguf.string(gguf, "general.architecture"), (architecture) => {
    const family = families.familyOf(architecture)
    return family === undefined
      ? unsupported("architecture", Gguf.quote(architecture), families.supported)
      : Result.succeed(family)
  })

/** Reads the constants of a file; refuses what would be computed wrongly. */
export const fromGguf = (
  gguf: Gguf.Gguf,
  vocab: number,
): Result.Result<Config, BadModelFile | UnsupportedModel> =>
  Result.gen(function* () {
    const family = yield* familyOf(gguf)
    const key = (name: string) => `${family.architecture}.${name}`
    const size = (name: string, max: number, otherwise?: number) =>
      Gguf.integer(gguf, key(name), { min: 1, max, ...(otherwise && { otherwise }) })
    const scaling = yield* Gguf.string(gguf, key("rope.scaling.type"), "none")
    if (scaling !== "none") return yield* unsupported("RoPE scaling", Gguf.quote(scaling), "none")
    const experts = yield* Gguf.integer(gguf, key("expert_count"), {
      min: 0,
      max: most.heads,
      otherwise: 0,
    })
    if (experts > 0) return yield* unsupported("number of experts", `${experts}`, "none")
    const model = yield* size("embedding_length", most.width)
    const numQHeads = yield* size("attention.head_count", most.heads)
    const numKvHeads = yield* size("attention.head_count_kv", most.heads, numQHeads)
    const headDim = yield* size("attention.key_length", most.width, Math.floor(model / numQHeads))
    const valueDim = yield* size("attention.value_length", most.width, headDim)
    if (valueDim !== headDim) {
      return yield* unsupported("value length", `${valueDim}`, `its key length, ${headDim},`)
    }
    if (numQHeads % numKvHeads !== 0) {
      const value = `${numQHeads} for ${numKvHeads} key/value heads`
      return yield* unsupported("number of query heads", value, "a multiple")
    }
    return {
      name: yield* Gguf.string(gguf, "general.name", gguf.file),
      layers: yield* size("block_count", most.layers),
      model,
      ffn: yield* size("feed_forward_length", most.width),
      vocab,
      numQHeads,
      numKvHeads,
      headDim,
      rotary: yield* size("rope.dimension_count", headDim, headDim),
      theta: yield* Gguf.number(gguf, key("rope.freq_base"), {
        min: 1,
        max: 1e9,
        otherwise: 10_000,
      }),
      pairing: family.pairing,
      family,
      window: family.windows === undefined
        ? undefined
        : yield* size("attention.sliding_window", most.context),
      eps: yield* Gguf.number(gguf, key("attention.layer_norm_rms_epsilon"), {
        min: 1e-12,
        max: 1,
      }),
      context: yield* size("context_length", most.context),
    }
  })
