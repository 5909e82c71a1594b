/**
 * Tiny random models of every family: sizes and weights, before any file has them. Weights go by the names of
 * GGUF; rows of q and k stand as folders have them, and norms are what is multiplied by. All are bf16 exactly.
 *
 * @module
 */
import { type Family, gemma3, llama, qwen2 } from "../../lib/model/families.ts"
import { bits } from "../fuzz/random.ts"

/** How frequencies are stretched, by the names of `config.json`. */
export type Scaling =
  | { readonly rope_type: "linear"; readonly factor: number }
  | {
    readonly rope_type: "llama3"
    readonly factor: number
    readonly low_freq_factor: number
    readonly high_freq_factor: number
    readonly original_max_position_embeddings: number
  }

/** A weight, row-major. */
export interface Weight {
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array
}

/** What sets a tiny model apart. */
export interface Sizes {
  readonly name: string
  readonly family: Family
  readonly layers: number
  readonly model: number
  readonly ffn: number
  readonly numQHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly theta: number
  readonly scaling?: Scaling
  /** Of every `every` layers the last sees all. */
  readonly windows?: { readonly last: number; readonly every: number; readonly theta: number }
  /** Scores are divided by the root of this. */
  readonly scalar?: number
  readonly tied: boolean
}

/** A model. */
export interface Tiny extends Sizes {
  readonly vocab: number
  readonly eps: number
  readonly weights: ReadonlyMap<string, Weight>
}

const vocab = 300
const eps = 1e-6

const make = (sizes: Sizes, seed: number): Tiny => {
  const { family, layers, model, ffn, numQHeads, numKvHeads, headDim, tied } = sizes
  const next = bits(seed)
  const weights = new Map<string, Weight>()
  const add = (name: string, shape: ReadonlyArray<number>, of: (n: number) => number) => {
    const size = shape.reduce((n, m) => n * m, 1)
    weights.set(name, {
      shape,
      data: Float32Array.from({ length: size }, () => of(next() % 255 - 127)),
    })
  }
  const matrix = (name: string, rows: number, columns: number) => {
    const unit = 2 ** -Math.round(Math.log2(columns) / 2 + 6)
    add(name, [rows, columns], (n) => n * unit)
  }
  const norm = (name: string, size: number) => add(name, [size], (n) => 1 + (n >> 2) / 64)
  const [qDim, kvDim] = [numQHeads * headDim, numKvHeads * headDim]
  add("token_embd.weight", [vocab, model], (n) => n / 128)
  if (!tied) matrix("output.weight", vocab, model)
  norm("output_norm.weight", model)
  for (let i = 0; i < layers; i++) {
    const at = (name: string) => `blk.${i}.${name}`
    norm(at("attn_norm.weight"), model)
    matrix(at("attn_q.weight"), qDim, model)
    matrix(at("attn_k.weight"), kvDim, model)
    matrix(at("attn_v.weight"), kvDim, model)
    matrix(at("attn_output.weight"), model, qDim)
    norm(at("ffn_norm.weight"), model)
    matrix(at("ffn_gate.weight"), ffn, model)
    matrix(at("ffn_up.weight"), ffn, model)
    matrix(at("ffn_down.weight"), model, ffn)
    if (family.biases) {
      add(at("attn_q.bias"), [qDim], (n) => n / 64)
      add(at("attn_k.bias"), [kvDim], (n) => n / 64)
      add(at("attn_v.bias"), [kvDim], (n) => n / 64)
    }
    if (family.headNorms) {
      norm(at("attn_q_norm.weight"), headDim)
      norm(at("attn_k_norm.weight"), headDim)
    }
    if (family.postNorms) {
      norm(at("post_attention_norm.weight"), model)
      norm(at("post_ffw_norm.weight"), model)
    }
  }
  return { ...sizes, vocab, eps, weights }
}

const usual = { layers: 2, model: 64, ffn: 96, numQHeads: 4, numKvHeads: 2, headDim: 16 }

/** Llama, with a head of its own. */
export const tinyLlama: Tiny = make(
  { ...usual, name: "llama", family: llama, theta: 10_000, tied: false },
  1,
)

/** Llama as of 3.1: some frequencies low, some between, some high. */
export const tinyLlama3: Tiny = make({
  ...usual,
  name: "llama with llama3 scaling",
  family: llama,
  theta: 10_000,
  tied: true,
  scaling: {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 64,
  },
}, 2)

/** Qwen 2: biases of q, k and v. */
export const tinyQwen2: Tiny = make(
  { ...usual, name: "qwen2", family: qwen2, theta: 1_000_000, tied: true },
  3,
)

/** Gemma 3: a window of 5 tokens in two of three layers, heads that are not of the width, a scale of its own. */
export const tinyGemma3: Tiny = make({
  ...usual,
  name: "gemma3",
  family: gemma3,
  layers: 4,
  headDim: 32,
  theta: 1_000_000,
  tied: true,
  scaling: { rope_type: "linear", factor: 8 },
  windows: { last: 5, every: 3, theta: 10_000 },
}, 4)

/** All of them. */
export const tinies: ReadonlyArray<Tiny> = [tinyLlama, tinyLlama3, tinyQwen2, tinyGemma3]
