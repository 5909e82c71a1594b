/** How far positions turn in the model of a folder: bases, and what stretches them. @module */
import { Result } from "effect"
import type { BadModelFile, UnsupportedModel } from "../../errors.ts"
import { bases, most, stretches } from "../Config.ts"
import type { Family } from "../families.ts"
import * as Get from "../json/get.ts"
import type { Document } from "../json/parse.ts"
import { type Factors, type Frequencies, linear, llama3, scalings } from "../scaling.ts"
import { unsupported } from "./pre.ts"

type Read<A> = Result.Result<A, BadModelFile | UnsupportedModel>

/** What a folder says of it. */
export interface Rope {
  readonly theta: number
  readonly factors: Factors
  /** The base of layers that see a window, where there are such. */
  readonly windowTheta: number
}

const typeOf = (rope: Document): Read<string> =>
  Result.flatMap(
    Get.string(rope, "type", "default"),
    (old) => Get.string(rope, "rope_type", old),
  )

const turns = { min: 1e-6, max: 1e6 }

const readLlama3 = (rope: Document, frequencies: Frequencies): Read<Factors> =>
  Result.gen(function* () {
    const factor = yield* Get.number(rope, "factor", stretches)
    const low = yield* Get.number(rope, "low_freq_factor", turns)
    const high = yield* Get.number(rope, "high_freq_factor", turns)
    if (!(low < high)) {
      const need = `a number above "low_freq_factor", ${low}, is needed`
      return yield* Get.bad(rope, "high_freq_factor", `is ${high}: ${need}`)
    }
    const range = { min: 1, max: most.context }
    const original = yield* Get.integer(rope, "original_max_position_embeddings", range)
    return llama3(frequencies, { factor, low, high, original })
  })

const readFactors = (rope: Document, frequencies: Frequencies): Read<Factors> =>
  Result.gen(function* () {
    const type = yield* typeOf(rope)
    switch (type) {
      case "default":
        return undefined
      case "linear":
        return linear(frequencies, yield* Get.number(rope, "factor", stretches))
      case "llama3":
        return yield* readLlama3(rope, frequencies)
      default:
        return yield* unsupported("RoPE scaling", type, scalings)
    }
  })

/** The layers of a window, by the names of newer files. */
const sliding = "sliding_attention"

/** Reads it. Newer files have all of it in `rope_parameters`, which may have an object for each type of layer. */
export const readRope = (config: Document, family: Family, rotary: number): Read<Rope> =>
  Result.gen(function* () {
    const { windows, folder } = family
    const parameters = yield* Get.object(config, "rope_parameters", new Map())
    const nested = windows !== undefined && Get.has(parameters, "full_attention")
    const full = nested ? yield* Get.object(parameters, "full_attention") : parameters
    const near = nested ? yield* Get.object(parameters, sliding, new Map()) : parameters
    const theta = yield* Get.number(Get.has(full, "rope_theta") ? full : config, "rope_theta", {
      ...bases,
      otherwise: folder.otherwise.theta,
    })
    const otherwise = windows?.theta ?? theta
    const windowTheta = nested && Get.has(near, "rope_theta")
      ? yield* Get.number(near, "rope_theta", bases)
      : yield* Get.number(config, "rope_local_base_freq", { ...bases, otherwise })
    const nearType = nested ? yield* typeOf(near) : "default"
    if (nearType !== "default") {
      return yield* unsupported(`RoPE scaling of ${sliding}`, nearType, '"default"')
    }
    const scaling = yield* Get.object(config, "rope_scaling", new Map())
    const older = yield* readFactors(scaling, { theta, rotary })
    const newer = yield* readFactors(full, { theta, rotary })
    return { theta, windowTheta, factors: older ?? newer }
  })
