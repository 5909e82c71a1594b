/** Tiny models as files: a folder as Hugging Face lays it out, and GGUF. @module */
import { bf16OfBits, bitsOf } from "../../kernels/half.ts"
import type { Files, Patch } from "./folder.ts"
import { frequencies } from "./reference.ts"
import { type Data, fileOf } from "./safetensors.ts"
import type { Tiny, Weight } from "./tiny.ts"
import { bytePairs, byteTokens, gemma3Tokenizer, qwen2Tokenizer } from "./tiny.vocabularies.ts"
import { array, entry, f32, file, header, type Part, string, tensor, types, u32 } from "./writer.ts"

/** A weight in some dtype, which holds its values exactly. */
const bytesOf = (data: Float32Array, dtype: "BF16" | "F32"): Uint8Array<ArrayBuffer> =>
  new Uint8Array(
    (dtype === "F32" ? Float32Array.from(data) : Uint16Array.from(bitsOf(data), bf16OfBits)).buffer,
  )

const gemmaNorms = {
  post_attention_norm: "post_attention_layernorm",
  ffn_norm: "pre_feedforward_layernorm",
  post_ffw_norm: "post_feedforward_layernorm",
}

/** What models on Hugging Face call a weight. */
const called = ({ family }: Tiny, name: string): string => {
  const known: Readonly<Record<string, string>> = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
    attn_norm: "input_layernorm",
    attn_q: "self_attn.q_proj",
    attn_k: "self_attn.k_proj",
    attn_v: "self_attn.v_proj",
    attn_output: "self_attn.o_proj",
    attn_q_norm: "self_attn.q_norm",
    attn_k_norm: "self_attn.k_norm",
    ffn_gate: "mlp.gate_proj",
    ffn_up: "mlp.up_proj",
    ffn_down: "mlp.down_proj",
    ...(family.architecture === "gemma3" ? gemmaNorms : { ffn_norm: "post_attention_layernorm" }),
  }
  const [blk, layer, part, kind] = name.split(".")
  return blk === "blk" ? `model.layers.${layer}.${known[part!]}.${kind}` : known[name]!
}

/** Gemma's folders have norms without the one that is added to them. */
const storedIn = ({ family }: Tiny, name: string, { data }: Weight): Float32Array =>
  family.architecture === "gemma3" && name.endsWith("norm.weight") ? data.map((x) => x - 1) : data

const classes: Readonly<Record<string, Patch>> = {
  llama: { model_type: "llama", architectures: ["LlamaForCausalLM"], hidden_act: "silu" },
  qwen2: {
    model_type: "qwen2",
    architectures: ["Qwen2ForCausalLM"],
    hidden_act: "silu",
    use_sliding_window: false,
    sliding_window: 32_768,
    max_window_layers: 1,
  },
  gemma3: {
    model_type: "gemma3_text",
    architectures: ["Gemma3ForCausalLM"],
    hidden_activation: "gelu_pytorch_tanh",
    attn_logit_softcapping: null,
    final_logit_softcapping: null,
  },
}

/** The `config.json` of a model. */
export const configOf = (tiny: Tiny): Patch => ({
  ...classes[tiny.family.architecture],
  num_hidden_layers: tiny.layers,
  hidden_size: tiny.model,
  intermediate_size: tiny.ffn,
  num_attention_heads: tiny.numQHeads,
  num_key_value_heads: tiny.numKvHeads,
  head_dim: tiny.headDim,
  vocab_size: tiny.vocab,
  max_position_embeddings: 512,
  rms_norm_eps: tiny.eps,
  rope_theta: tiny.theta,
  rope_scaling: tiny.scaling ?? null,
  tie_word_embeddings: tiny.tied,
  ...(tiny.windows && {
    sliding_window: tiny.windows.last,
    sliding_window_pattern: tiny.windows.every,
    rope_local_base_freq: tiny.windows.theta,
    query_pre_attn_scalar: tiny.scalar ?? tiny.headDim,
  }),
})

/** The folder of a model, in one file of weights or in shards of 8 tensors. */
export const folderOf = (
  tiny: Tiny,
  { dtype = "BF16", sharded = false }: {
    readonly dtype?: "BF16" | "F32"
    readonly sharded?: boolean
  } = {},
): Files => {
  const all: ReadonlyArray<Data> = Array.from(tiny.weights, ([name, weight]) => ({
    name: called(tiny, name),
    dtype,
    shape: weight.shape,
    data: bytesOf(storedIn(tiny, name, weight), dtype),
  }))
  const letters = tiny.family.architecture === "gemma3"
  const rest = {
    "config.json": configOf(tiny),
    "tokenizer.json": letters ? gemma3Tokenizer : qwen2Tokenizer,
    "tokenizer_config.json": letters
      ? { bos_token: "<bos>", eos_token: "<eos>", add_bos_token: true }
      : { bos_token: null, eos_token: "<|im_end|>", tokenizer_class: "Qwen2Tokenizer" },
  }
  if (!sharded) return { ...rest, "model.safetensors": fileOf(all) }
  const shards = Array.from(
    { length: Math.ceil(all.length / 8) },
    (_, i) => [`model-${i}.safetensors`, all.slice(8 * i, 8 * i + 8)] as const,
  )
  const map = shards.flatMap(([file, part]) => part.map(({ name }) => [name, file] as const))
  return {
    ...rest,
    ...Object.fromEntries(shards.map(([file, part]) => [file, fileOf(part)])),
    "model.safetensors.index.json": { weight_map: Object.fromEntries(map) },
  }
}

/** Rows of q or k as writers of GGUF leave them for Llama: element i of a head beside element i + half. */
const permuted = ({ shape, data }: Weight, headDim: number): Weight => {
  const [rows, columns] = shape as readonly [number, number]
  const out = new Float32Array(data.length)
  for (let row = 0; row < rows; row++) {
    const [head, at] = [Math.floor(row / headDim) * headDim, row % headDim]
    const to = head + 2 * (at % (headDim / 2)) + Math.floor(at / (headDim / 2))
    out.set(data.subarray(row * columns, (row + 1) * columns), to * columns)
  }
  return { shape, data: out }
}

/** The weights of the file, by name; matrices are bf16, vectors f32. */
const stored = (tiny: Tiny): ReadonlyArray<readonly [name: string, weight: Weight]> => {
  const { family, headDim, scaling, theta } = tiny
  const interleaved = family.pairing === "interleaved"
  const weights = [...tiny.weights].map(([name, weight]) =>
    [
      name,
      interleaved && /attn_[qk]\.weight$/.test(name) ? permuted(weight, headDim) : weight,
    ] as const
  )
  if (scaling?.rope_type !== "llama3") return weights
  const plain = frequencies(theta, headDim, undefined)
  const scaled = frequencies(theta, headDim, scaling)
  const factors = { shape: [headDim / 2], data: Float32Array.from(plain, (f, p) => f / scaled[p]!) }
  return [["rope_freqs.weight", factors], ...weights]
}

/** The GGUF file of a model. */
export const ggufOf = (
  tiny: Tiny,
  extra: ReadonlyArray<Part> = [],
): Uint8Array<ArrayBuffer> => {
  const { family: { architecture }, scaling, windows } = tiny
  const own = (name: string) => `${architecture}.${name}`
  const whole = (name: string, value: number) => entry(own(name), types.u32, u32(value))
  const number = (name: string, value: number) => entry(own(name), types.f32, f32(value))
  const pad = Array.from({ length: tiny.vocab - byteTokens.length }, (_, i) => `[PAD${i}]`)
  const texts = (key: string, all: ReadonlyArray<string>) =>
    entry(key, types.array, array(types.string, ...all.map(string)))
  const entries = [
    entry("general.architecture", types.string, string(architecture)),
    entry("general.name", types.string, string(tiny.name)),
    entry("tokenizer.ggml.model", types.string, string("gpt2")),
    entry("tokenizer.ggml.pre", types.string, string("qwen2")),
    texts("tokenizer.ggml.tokens", [...byteTokens, ...pad]),
    texts("tokenizer.ggml.merges", bytePairs.map((pair) => pair.join(" "))),
    whole("block_count", tiny.layers),
    whole("context_length", 512),
    whole("embedding_length", tiny.model),
    whole("feed_forward_length", tiny.ffn),
    whole("attention.head_count", tiny.numQHeads),
    whole("attention.head_count_kv", tiny.numKvHeads),
    whole("attention.key_length", tiny.headDim),
    whole("attention.value_length", tiny.headDim),
    number("attention.layer_norm_rms_epsilon", tiny.eps),
    number("rope.freq_base", tiny.theta),
    ...(windows === undefined ? [] : [
      whole("attention.sliding_window", windows.last),
      whole("attention.sliding_window_pattern", windows.every),
    ]),
    ...(scaling?.rope_type !== "linear" ? [] : [
      entry(own("rope.scaling.type"), types.string, string("linear")),
      number("rope.scaling.factor", scaling.factor),
    ]),
    ...extra,
  ]
  const rows: Array<Part> = []
  const blobs: Array<readonly [at: number, bytes: Uint8Array]> = []
  let end = 0
  for (const [name, { shape, data }] of stored(tiny)) {
    const matrix = shape.length > 1
    const bytes = bytesOf(data, matrix ? "BF16" : "F32")
    rows.push(tensor(name, shape.toReversed(), matrix ? 30 : 0, end))
    blobs.push([end, bytes])
    end += Math.ceil(bytes.length / 32) * 32
  }
  const out = file([header(rows.length, entries.length), ...entries, ...rows], end)
  for (const [at, bytes] of blobs) out.set(bytes, out.length - end + at)
  return out
}
