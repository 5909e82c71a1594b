/**
 * Pre-tokenizers: the expressions that cut a text before pairs are merged, one after the other, each
 * inside the pieces of the one before. In `\s` and `\p{…}` as Oniguruma has them.
 *
 * @module
 */

/** What the name in `tokenizer.ggml.pre` stands for. */
export interface Pre {
  /** Each cuts out its matches. */
  readonly splits: ReadonlyArray<string>
  /** A piece that is a token is that token, whatever the merges would make of it. */
  readonly ignoreMerges: boolean
  /** Whether letters and their marks are composed first, as Unicode's NFC has it. */
  readonly composes: boolean
  /** Whether BOS comes first when the file does not say. */
  readonly addBos: boolean
}

const gpt2 = String
  .raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

const llama3 = String.raw`'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]` +
  String.raw`|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*` +
  String.raw`|\s*[\r\n]+|\s+(?!\S)|\s+`

const qwen2 = llama3.replace(String.raw`\p{N}{1,3}`, String.raw`\p{N}`)

const plain = { ignoreMerges: false, composes: false, addBos: false }

/**
 * The names that are supported. `default` is what llama.cpp runs for a file that names none.
 *
 * Source: llama.cpp's src/llama-vocab.cpp.
 */
export const pres: ReadonlyMap<string, Pre> = new Map<string, Pre>([
  ["gpt-2", { ...plain, splits: [gpt2] }],
  ["smollm", { ...plain, splits: [String.raw`\p{N}`, gpt2] }],
  ["llama-bpe", { ...plain, splits: [llama3], ignoreMerges: true, addBos: true }],
  ["qwen2", { ...plain, splits: [qwen2] }],
  ["default", {
    ...plain,
    splits: [String.raw`[\p{P}\$\+<=>\^~\|]+`, gpt2, String.raw`\p{N}+`, "[0-9]{3}"],
  }],
])
