/** The sizes and constants of a Llama-family model, read from a file's metadata. @module */
import { Result } from "effect"
import { type BadModelFile, UnsupportedModel } from "../errors.ts"
import type { Pairing } from "../tensor/rope.ts"
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
  readonly eps: number
  /** Tokens the model was trained to see. */
  readonly context: number
}

/** Larger sizes than any model of the family has; a file that claims more is damaged. */
const most = { layers: 1024, width: 1 << 20, heads: 4096, context: 1 << 24 }

const unsupported = (what: string, value: string, supported: string) =>
  Result.fail(new UnsupportedModel({ what, value, supported }))

/** Reads the constants of a file of the architecture `llama`; refuses what would be computed wrongly. */
export const fromGguf = (
  gguf: Gguf.Gguf,
  vocab: number,
): Result.Result<Config, BadModelFile | UnsupportedModel> =>
  Result.gen(function* () {
    const architecture = yield* Gguf.string(gguf, "general.architecture")
    if (architecture !== "llama") {
      return yield* unsupported("architecture", Gguf.quote(architecture), `"llama"`)
    }
    const size = (key: string, max: number, otherwise?: number) =>
      Gguf.integer(gguf, `llama.${key}`, { min: 1, max, ...(otherwise && { otherwise }) })
    const scaling = yield* Gguf.string(gguf, "llama.rope.scaling.type", "none")
    if (scaling !== "none") return yield* unsupported("RoPE scaling", Gguf.quote(scaling), "none")
    const experts = yield* Gguf.integer(gguf, "llama.expert_count", {
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
      theta: yield* Gguf.number(gguf, "llama.rope.freq_base", {
        min: 1,
        max: 1e9,
        otherwise: 10_000,
      }),
      // Writers of this architecture permute q and k so that neighbours turn together.
      pairing: "interleaved" as const,
      eps: yield* Gguf.number(gguf, "llama.attention.layer_norm_rms_epsilon", {
        min: 1e-12,
        max: 1,
      }),
      context: yield* size("context_length", most.context),
    }
  })
