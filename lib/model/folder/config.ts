/** The sizes and constants of a model, from the `config.json` of its folder. @module */
import { Result } from "effect"
import { type BadModelFile, UnsupportedModel } from "../../errors.ts"
import { type Config, isWindowed, most, wideHead } from "../Config.ts"
import * as families from "../families.ts"
import * as Get from "../json/get.ts"
import type { Document } from "../json/parse.ts"
import { unsupported } from "./pre.ts"
import { readRope } from "./rope.ts"

type Read<A> = Result.Result<A, BadModelFile | UnsupportedModel>

/** The family of a folder; refuses another architecture, and says which. */
export const familyOf = (config: Document): Read<families.Family> =>
  Result.gen(function* () {
    const type = yield* Get.string(config, "model_type")
    const family = families.familyOfType(type)
    if (family === undefined) {
      return yield* unsupported("architecture", type, families.supportedInFolder())
    }
    const classes = yield* Get.array(config, "architectures", [family.folder.class])
    if (classes.includes(family.folder.class)) return family
    return yield* unsupported(
      "architecture",
      classes.join(", "),
      families.supportedInFolder(family),
    )
  })

/** Refuses what the forward pass would leave out. */
const checkParts = (config: Document, { activation, off, absent }: families.InFolder): Read<void> =>
  Result.gen(function* () {
    for (const what of off) {
      if (!(yield* Get.boolean(config, what, false))) continue
      return yield* Result.fail(new UnsupportedModel({ what, value: "true", supported: "false" }))
    }
    for (const what of absent) {
      if (!Get.has(config, what)) continue
      const value = Get.show(config.keys.get(what)!)
      return yield* Result.fail(new UnsupportedModel({ what, value, supported: "null" }))
    }
    const { key, value } = activation
    const named = yield* Get.string(config, key, value)
    if (named !== value) return yield* unsupported(key, named, `"${value}"`)
    const rotated = yield* Get.number(config, "partial_rotary_factor", {
      min: 0,
      max: 1,
      otherwise: 1,
    })
    if (rotated !== 1) return yield* unsupported("partial_rotary_factor", `${rotated}`, "1")
  })

/** Refuses a file whose list of layers is not what is run. */
const checkLayers = (
  config: Document,
  layers: number,
  windows: families.Windows | undefined,
): Read<void> =>
  Result.gen(function* () {
    const key = "layer_types"
    if (!Get.has(config, key)) return
    const types = yield* Get.array(config, key)
    if (types.length !== layers) {
      return yield* Get.bad(config, key, `has ${types.length} elements: ${layers} are needed`)
    }
    for (const [i, type] of types.entries()) {
      const need = isWindowed({ windows }, i) ? "sliding_attention" : "full_attention"
      if (type === need) continue
      const what = `type of layer ${i}`
      return yield* Result.fail(
        new UnsupportedModel({ what, value: Get.show(type), supported: `"${need}"` }),
      )
    }
  })

/** Which layers see a window. Newer files have an underscore before the name. */
const readWindows = (
  config: Document,
  layers: number,
  family: families.Family,
  theta: number,
): Read<families.Windows | undefined> =>
  Result.gen(function* () {
    const key = "sliding_window_pattern"
    const windows = family.windows && {
      every: yield* Get.integer(config, Get.has(config, key) ? key : `_${key}`, {
        min: 1,
        max: most.layers,
        otherwise: family.windows.every,
      }),
      theta,
    }
    yield* checkLayers(config, layers, windows)
    return windows
  })

const readScale = (
  config: Document,
  key: string | undefined,
  headDim: number,
): Read<number | undefined> =>
  key === undefined ? Result.succeed(undefined) : Result.map(
    Get.number(config, key, { min: 1e-6, max: most.width, otherwise: 256 }),
    (scalar) => scalar === headDim ? undefined : 1 / Math.sqrt(scalar),
  )

/** Reads a `config.json`; the model is called `name`. */
export const read = (config: Document, name: string): Read<Config> =>
  Result.gen(function* () {
    const family = yield* familyOf(config)
    const { folder } = family
    yield* checkParts(config, folder)
    const size = (key: string, max: number, otherwise?: number) =>
      Get.integer(config, key, { min: 1, max, ...(otherwise && { otherwise }) })
    const model = yield* size("hidden_size", most.width)
    const numQHeads = yield* size("num_attention_heads", most.heads)
    const numKvHeads = yield* size("num_key_value_heads", most.heads, numQHeads)
    const even = model % numQHeads === 0 ? model / numQHeads : undefined
    const headDim = yield* size("head_dim", most.headDim, folder.otherwise.headDim ?? even)
    if (headDim > most.headDim) return yield* wideHead(headDim)
    if (numQHeads % numKvHeads !== 0) {
      return yield* Get.bad(
        config,
        "num_attention_heads",
        `is ${numQHeads} for ${numKvHeads} key/value heads: a multiple is needed`,
      )
    }
    const layers = yield* size("num_hidden_layers", most.layers)
    const rope = yield* readRope(config, family, headDim)
    const windows = yield* readWindows(config, layers, family, rope.windowTheta)
    return {
      name,
      layers,
      model,
      ffn: yield* size("intermediate_size", most.width),
      vocab: yield* size("vocab_size", most.width),
      numQHeads,
      numKvHeads,
      headDim,
      rotary: headDim,
      theta: rope.theta,
      factors: rope.factors,
      // These files keep q and k as they were trained: the two halves of a head turn together.
      pairing: "half" as const,
      family,
      window: windows && (yield* size("sliding_window", most.context)),
      windows,
      scale: yield* readScale(config, folder.scalar, headDim),
      eps: yield* Get.number(config, "rms_norm_eps", { min: 1e-12, max: 1, otherwise: 1e-6 }),
      context: yield* size("max_position_embeddings", most.context, folder.otherwise.context),
    }
  })
