/** What tells one family of models from another, as data: the forward pass has no other switches. @module */
import type { Pairing } from "../tensor/rope.ts"

/** Tensors of a layer beside those that every family has. */
export interface Extras {
  /** Biases of q, k and v. */
  readonly biases: boolean
  /** Norms of each head of q and k, before they turn. */
  readonly headNorms: boolean
  /** Norms after attention and after the feed-forward, before the residual is added. */
  readonly postNorms: boolean
}

/** Of every `every` layers the last sees all; the others see a window and turn by a base of their own. */
export interface Windows {
  readonly every: number
  readonly theta: number
}

/** How folders of Hugging Face say and store it. */
export interface InFolder {
  /** `model_type` of `config.json`. */
  readonly type: string
  /** The one of its `architectures` that is run. */
  readonly class: string
  /** The member that names the activation, and its value. */
  readonly activation: { readonly key: string; readonly value: string }
  /** Members that must be false. */
  readonly off: ReadonlyArray<string>
  /** Members that must be missing or null. */
  readonly absent: ReadonlyArray<string>
  /** The member whose inverse root multiplies scores; without one the length of a head is that number. */
  readonly scalar: string | undefined
  /** What parts of a layer are called, beside the names that all have, and what GGUF calls them. */
  readonly names: Readonly<Record<string, string>>
  /** What is added to the weights of norms as stored. */
  readonly normOffset: number
  /** What transformers takes for members that are missing. */
  readonly otherwise: {
    readonly tied: boolean
    readonly theta: number
    readonly context: number
    /** Undefined: the width over the number of heads. */
    readonly headDim: number | undefined
  }
}

/** One family. */
export interface Family extends Extras {
  /** What GGUF calls it, and the prefix of its metadata. */
  readonly architecture: string
  /** Which elements of a head turn together in GGUF's weights. In folders the halves of a head do, always. */
  readonly pairing: Pairing
  readonly activation: "silu" | "gelu"
  /** Embeddings are multiplied by the root of the width. */
  readonly scaledEmbeddings: boolean
  /** What a file has that does not say; undefined where every layer sees all. */
  readonly windows: Windows | undefined
  /**
   * Numbers of layers of the models whose scores are divided by the root of width over heads, and not of the
   * length of a head. GGUF has no key for it.
   */
  readonly wideScores: ReadonlyArray<number>
  readonly folder: InFolder
}

type Plain = Omit<Family, "architecture" | "pairing" | "folder">

const plain: Plain = {
  biases: false,
  headNorms: false,
  postNorms: false,
  activation: "silu",
  scaledEmbeddings: false,
  windows: undefined,
  wideScores: [],
}

const silu = { key: "hidden_act", value: "silu" }
const twoNorms = { post_attention_layernorm: "ffn_norm" }

/** Llama, and SmolLM2. Writers of GGUF permute q and k so that neighbours turn together. */
export const llama: Family = {
  architecture: "llama",
  pairing: "interleaved",
  ...plain,
  folder: {
    type: "llama",
    class: "LlamaForCausalLM",
    activation: silu,
    off: ["attention_bias", "mlp_bias"],
    absent: [],
    scalar: undefined,
    names: twoNorms,
    normOffset: 0,
    otherwise: { tied: false, theta: 10_000, context: 2048, headDim: undefined },
  },
}

/** Qwen 2 and 2.5. */
export const qwen2: Family = {
  architecture: "qwen2",
  pairing: "half",
  ...plain,
  biases: true,
  folder: {
    type: "qwen2",
    class: "Qwen2ForCausalLM",
    activation: silu,
    off: ["use_sliding_window"],
    absent: [],
    scalar: undefined,
    names: twoNorms,
    normOffset: 0,
    otherwise: { tied: false, theta: 10_000, context: 32_768, headDim: undefined },
  },
}

/** Gemma 3, its text. Its norms multiply by one more than the weights of a folder; GGUF has the sum. */
export const gemma3: Family = {
  architecture: "gemma3",
  pairing: "half",
  biases: false,
  headNorms: true,
  postNorms: true,
  activation: "gelu",
  scaledEmbeddings: true,
  windows: { every: 6, theta: 10_000 },
  wideScores: [62],
  folder: {
    type: "gemma3_text",
    class: "Gemma3ForCausalLM",
    activation: { key: "hidden_activation", value: "gelu_pytorch_tanh" },
    off: ["attention_bias", "use_bidirectional_attention"],
    absent: ["attn_logit_softcapping", "final_logit_softcapping"],
    scalar: "query_pre_attn_scalar",
    names: {
      "self_attn.q_norm": "attn_q_norm",
      "self_attn.k_norm": "attn_k_norm",
      post_attention_layernorm: "post_attention_norm",
      pre_feedforward_layernorm: "ffn_norm",
      post_feedforward_layernorm: "post_ffw_norm",
    },
    normOffset: 1,
    otherwise: { tied: true, theta: 1_000_000, context: 131_072, headDim: 256 },
  },
}

/** All of them. */
export const families: ReadonlyArray<Family> = [llama, qwen2, gemma3]

const listed = (names: ReadonlyArray<string>): string =>
  `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`

/** Their names, for errors. */
export const supported: string = listed(families.map(({ architecture }) => `"${architecture}"`))

const inFolder = ({ folder }: Family): string => `"${folder.type}" of the class ${folder.class}`

/** What folders call them, or one of them, for errors. */
export const supportedInFolder = (family?: Family): string =>
  family === undefined ? listed(families.map(inFolder)) : inFolder(family)

/** The family of an architecture. */
export const familyOf = (architecture: string): Family | undefined =>
  families.find((family) => family.architecture === architecture)

/** The family of a `model_type`. */
export const familyOfType = (type: string): Family | undefined =>
  families.find(({ folder }) => folder.type === type)
