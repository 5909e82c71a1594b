/** The sizes and constants of a model, from the `config.json` of its folder. @module */
import { Result } from "effect"
import { type BadModelFile, UnsupportedModel } from "../../errors.ts"
import { type Config, most } from "../Config.ts"
import { llama } from "../families.ts"
import * as Get from "../json/get.ts"
import type { Document } from "../json/parse.ts"
import { unsupported } from "./pre.ts"

type Read<A> = Result.Result<A, BadModelFile | UnsupportedModel>

/** Refuses another architecture, and says which. */
export const checkArchitecture = (config: Document): Read<void> =>
  Result.gen(function* () {
    const family = yield* Get.string(config, "model_type")
    const classes = yield* Get.array(config, "architectures", ["LlamaForCausalLM"])
    if (family === "llama" && classes.includes("LlamaForCausalLM")) return
    const value = family === "llama" ? classes.join(", ") : family
    return yield* unsupported("architecture", value, '"llama" of the class LlamaForCausalLM')
  })

/** Refuses what the forward pass would leave out. */
const checkParts = (config: Document): Read<void> =>
  Result.gen(function* () {
    for (const bias of ["attention_bias", "mlp_bias"]) {
      if (yield* Get.boolean(config, bias, false)) {
        return yield* Result.fail(
          new UnsupportedModel({ what: bias, value: "true", supported: "false" }),
        )
      }
    }
    const activation = yield* Get.string(config, "hidden_act", "silu")
    if (activation !== "silu") return yield* unsupported("hidden_act", activation, '"silu"')
    const rotated = yield* Get.number(config, "partial_rotary_factor", {
      min: 0,
      max: 1,
      otherwise: 1,
    })
    if (rotated !== 1) {
      return yield* unsupported("partial_rotary_factor", `${rotated}`, "1")
    }
  })

/** The base of RoPE's frequencies; scaled ones are refused. Newer files have all of it in one object. */
const readTheta = (config: Document): Read<number> =>
  Result.gen(function* () {
    const scaling = yield* Get.object(config, "rope_scaling", new Map())
    const parameters = yield* Get.object(config, "rope_parameters", new Map())
    for (const rope of [scaling, parameters]) {
      const type = yield* Get.string(rope, "rope_type", yield* Get.string(rope, "type", "default"))
      if (type !== "default") return yield* unsupported("RoPE scaling", type, "none")
    }
    const range = { min: 1, max: 1e9, otherwise: 10_000 }
    const from = Get.has(parameters, "rope_theta") ? parameters : config
    return yield* Get.number(from, "rope_theta", range)
  })

/** Reads a `config.json`; the model is called `name`. */
export const read = (config: Document, name: string): Read<Config> =>
  Result.gen(function* () {
    yield* checkArchitecture(config)
    yield* checkParts(config)
    const size = (key: string, max: number, otherwise?: number) =>
      Get.integer(config, key, { min: 1, max, ...(otherwise && { otherwise }) })
    const model = yield* size("hidden_size", most.width)
    const numQHeads = yield* size("num_attention_heads", most.heads)
    const numKvHeads = yield* size("num_key_value_heads", most.heads, numQHeads)
    const even = model % numQHeads === 0 ? model / numQHeads : undefined
    const headDim = yield* size("head_dim", most.width, even)
    if (numQHeads % numKvHeads !== 0) {
      return yield* Get.bad(
        config,
        "num_attention_heads",
        `is ${numQHeads} for ${numKvHeads} key/value heads: a multiple is needed`,
      )
    }
    return {
      name,
      layers: yield* size("num_hidden_layers", most.layers),
      model,
      ffn: yield* size("intermediate_size", most.width),
      vocab: yield* size("vocab_size", most.width),
      numQHeads,
      numKvHeads,
      headDim,
      rotary: headDim,
      theta: yield* readTheta(config),
      // These files keep q and k as they were trained: the two halves of a head turn together.
      pairing: "half" as const,
      family: llama,
      window: undefined,
      eps: yield* Get.number(config, "rms_norm_eps", { min: 1e-12, max: 1, otherwise: 1e-6 }),
      context: yield* size("max_position_embeddings", most.context, 2048),
    }
  })
