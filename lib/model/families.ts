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

/** One family. */
export interface Family extends Extras {
  /** What GGUF calls it, and the prefix of its metadata. */
  readonly architecture: string
  /** Which elements of a head turn together in GGUF's weights. */
  readonly pairing: Pairing
  readonly activation: "silu" | "gelu"
  /** Embeddings are multiplied by the root of the width. */
  readonly scaledEmbeddings: boolean
  /** Of every `every` layers the last sees everything; the others see a window and turn by a base of their own. */
  readonly windows: { readonly every: number; readonly theta: number } | undefined
}

const plain: Extras & Pick<Family, "activation" | "scaledEmbeddings" | "windows"> = {
  biases: false,
  headNorms: false,
  postNorms: false,
  activation: "silu",
  scaledEmbeddings: false,
  windows: undefined,
}

/** Llama, and SmolLM2. Writers of GGUF permute q and k so that neighbours turn together. */
export const llama: Family = { architecture: "llama", pairing: "interleaved", ...plain }

/** Qwen 2. */
export const qwen2: Family = { architecture: "qwen2", pairing: "half", ...plain, biases: true }

/** Gemma 3. */
export const gemma3: Family = {
  architecture: "gemma3",
  pairing: "half",
  biases: false,
  headNorms: true,
  postNorms: true,
  activation: "gelu",
  scaledEmbeddings: true,
  windows: { every: 6, theta: 10_000 },
}

/** All of them. */
export const families: ReadonlyArray<Family> = [llama, qwen2, gemma3]

const names = families.map(({ architecture }) => `"${architecture}"`)

/** Their names, for errors. */
export const supported: string = `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`

/** The family of an architecture. */
export const familyOf = (architecture: string): Family | undefined =>
  families.find((family) => family.architecture === architecture)
