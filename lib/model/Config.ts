/** The sizes and constants of a Llama-family model, read from a file's metadata. @module */
import { Result } from "effect"
import { type BadModelFile, UnsupportedModel } from "../errors.ts"
import type { Pairing } from "../tensor/rope.ts"
import * as families from "./families.ts"
import type { Family, Windows } from "./families.ts"
import * as Gguf from "./Gguf.ts"
import { type Factors, linear } from "./scaling.ts"

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
  /** What divides the frequencies of layers that see all; those of a window are never stretched. */
  readonly factors: Factors
  readonly pairing: Pairing
  readonly family: Family
  /** Tokens that windowed layers see, self included; undefined where every layer sees all. */
  readonly window: number | undefined
  /** Which layers those are, and the base that they turn by. */
  readonly windows: Windows | undefined
  /** Multiplies every score of attention; undefined: `1 / √headDim`. */
  readonly scale: number | undefined
  readonly eps: number
  /** Tokens the model was trained to see. */
  readonly context: number
}

/** Larger sizes than any model of the family has; a file that claims more is damaged. */
export const most: {
  readonly layers: number
  readonly width: number
  readonly heads: number
  /** Elements of one head. */
  readonly headDim: number
  readonly context: number
} = { layers: 1024, width: 1 << 20, heads: 4096, headDim: 4096, context: 1 << 24 }

const unsupported = (what: string, value: string, supported: string) =>
  Result.fail(new UnsupportedModel({ what, value, supported }))

/** A head whose size follows from others may be too wide as well. */
export const wideHead = (headDim: number): Result.Result<never, UnsupportedModel> =>
  unsupported("head dimension", `${headDim}`, `at most ${most.headDim}`)

/** Does a layer see a window only? */
export const isWindowed = ({ windows }: Pick<Config, "windows">, layer: number): boolean =>
  windows !== undefined && (layer + 1) % windows.every !== 0

/** Bases of RoPE that are taken. */
export const bases: { readonly min: number; readonly max: number } = { min: 1, max: 1e9 }

/** Factors that a context is stretched by that are taken. */
export const stretches: { readonly min: number; readonly max: number } = { min: 1, max: 1e6 }

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

type Key = (name: string) => string

/** What a file stretches its frequencies by. One that names no type means `linear` by a factor. */
const readStretch = (
  gguf: Gguf.Gguf,
  key: Key,
): Result.Result<number, BadModelFile | UnsupportedModel> =>
  Result.gen(function* () {
    const type = yield* Gguf.string(gguf, key("rope.scaling.type"), "")
    if (type === "none") return 1
    if (type !== "" && type !== "linear") {
      return yield* unsupported("RoPE scaling", Gguf.quote(type), '"none" or "linear"')
    }
    const otherwise = type === "" ? { otherwise: 1 } : {}
    return yield* Gguf.number(gguf, key("rope.scaling.factor"), { ...stretches, ...otherwise })
  })

/** Soft caps are not run, and zero is none. */
const checkCaps = (
  gguf: Gguf.Gguf,
  key: Key,
): Result.Result<void, BadModelFile | UnsupportedModel> =>
  Result.gen(function* () {
    for (const cap of ["attn_logit_softcapping", "final_logit_softcapping"]) {
      const value = yield* Gguf.number(gguf, key(cap), { min: 0, max: 1e9, otherwise: 0 })
      if (value !== 0) return yield* unsupported(cap, `${value}`, "none")
    }
  })

const readWindows = (
  gguf: Gguf.Gguf,
  key: Key,
  windows: Windows,
): Result.Result<Windows, BadModelFile> =>
  Result.gen(function* () {
    const pattern = { min: 1, max: most.layers, otherwise: windows.every }
    return {
      every: yield* Gguf.integer(gguf, key("attention.sliding_window_pattern"), pattern),
      theta: yield* Gguf.number(gguf, key("rope.freq_base_swa"), {
        ...bases,
        otherwise: windows.theta,
      }),
    }
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
    const stretch = yield* readStretch(gguf, key)
    yield* checkCaps(gguf, key)
    const experts = yield* Gguf.integer(gguf, key("expert_count"), {
      min: 0,
      max: most.heads,
      otherwise: 0,
    })
    if (experts > 0) return yield* unsupported("number of experts", `${experts}`, "none")
    const model = yield* size("embedding_length", most.width)
    const numQHeads = yield* size("attention.head_count", most.heads)
    const numKvHeads = yield* size("attention.head_count_kv", most.heads, numQHeads)
    const headDim = yield* size("attention.key_length", most.headDim, Math.floor(model / numQHeads))
    if (headDim > most.headDim) return yield* wideHead(headDim)
    const valueDim = yield* size("attention.value_length", most.width, headDim)
    if (valueDim !== headDim) {
      return yield* unsupported("value length", `${valueDim}`, `its key length, ${headDim},`)
    }
    if (numQHeads % numKvHeads !== 0) {
      const value = `${numQHeads} for ${numKvHeads} key/value heads`
      return yield* unsupported("number of query heads", value, "a multiple")
    }
    const layers = yield* size("block_count", most.layers)
    const rotary = yield* size("rope.dimension_count", headDim, headDim)
    const { windows, wideScores } = family
    return {
      name: yield* Gguf.string(gguf, "general.name", gguf.file),
      layers,
      model,
      ffn: yield* size("feed_forward_length", most.width),
      vocab,
      numQHeads,
      numKvHeads,
      headDim,
      rotary,
      theta: yield* Gguf.number(gguf, key("rope.freq_base"), { ...bases, otherwise: 10_000 }),
      factors: linear({ rotary }, stretch),
      pairing: family.pairing,
      family,
      window: windows && (yield* size("attention.sliding_window", most.context)),
      windows: windows && (yield* readWindows(gguf, key, windows)),
      scale: wideScores.includes(layers) ? 1 / Math.sqrt(model / numQHeads) : undefined,
      eps: yield* Gguf.number(gguf, key("attention.layer_norm_rms_epsilon"), {
        min: 1e-12,
        max: 1,
      }),
      context: yield* size("context_length", most.context),
    }
  })
