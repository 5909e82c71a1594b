/** Vocabularies of tiny models, as `tokenizer.json` of Qwen 2 and of Gemma 3 have them, but for their size. @module */
import { alphabet } from "../../lib/model/tokenizer/utf8.ts"
import type { Patch } from "./folder.ts"

/** Qwen 2's expression, as its file has it. */
export const qwen2Split: string =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" +
  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

const added = (special: boolean) => (content: string, id: number): Patch => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special,
})

const idsOf = (tokens: ReadonlyArray<string>): Patch =>
  Object.fromEntries(tokens.map((token, id) => [token, id]))

/** The letters of all bytes, pairs of them, and Qwen's tokens around a turn. */
export const bytePairs: ReadonlyArray<readonly [string, string]> = [
  ["t", "h"],
  ["i", "n"],
  ["th", "e"],
  ["Ġ", "the"],
  ["1", "2"],
  ["Ã", "©"],
  ["'", "l"],
  ["'l", "l"],
]
/** Tokens of bytes, in the order of their ids. */
export const byteTokens: ReadonlyArray<string> = [
  ...alphabet.keys(),
  ...bytePairs.map((pair) => pair.join("")),
  "<|endoftext|>",
  "<|im_start|>",
  "<|im_end|>",
]
const turnsFrom = byteTokens.length - 3

/** Qwen 2's file. */
export const qwen2Tokenizer: Patch = {
  version: "1.0",
  added_tokens: byteTokens.slice(turnsFrom).map((token, i) => added(true)(token, turnsFrom + i)),
  normalizer: { type: "NFC" },
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: qwen2Split }, behavior: "Isolated", invert: false },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    ],
  },
  post_processor: {
    type: "ByteLevel",
    add_prefix_space: false,
    trim_offsets: false,
    use_regex: false,
  },
  decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
  model: {
    type: "BPE",
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: "",
    end_of_word_suffix: "",
    fuse_unk: false,
    byte_fallback: false,
    vocab: idsOf(byteTokens.slice(0, turnsFrom)),
    merges: bytePairs.map((pair) => pair.join(" ")),
  },
}

const letterPairs: ReadonlyArray<readonly [string, string]> = [
  ["\n", "\n"],
  ["▁", "▁"],
  ["▁▁", "▁"],
  ["t", "h"],
  ["a", "b"],
  ["b", "c"],
  ["ab", "c"],
  ["a", "bc"],
  ["th", "e"],
  ["▁", "the"],
  ["▁", "a"],
]
const firsts = ["<pad>", "<eos>", "<bos>", "<unk>", "\n\n", "▁▁", "▁▁▁"]
const hex = (byte: number) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`
const letterTokens: ReadonlyArray<string> = [
  ...new Set([
    ...firsts,
    ...Array.from({ length: 256 }, (_, byte) => hex(byte)),
    ..."▁\nabcdethé",
    ...letterPairs.map((pair) => pair.join("")),
    "<end_of_turn>",
  ]),
]
const turn = letterTokens.length - 1

/** Gemma 3's file; its last token is past the embeddings. */
export const gemma3Tokenizer: Patch = {
  version: "1.0",
  added_tokens: [
    ...firsts.slice(0, 4).map(added(true)),
    ...firsts.slice(4).map((token, i) => added(false)(token, 4 + i)),
    added(true)("<end_of_turn>", turn),
    added(true)("<image_soft_token>", 1_000_000),
  ],
  normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" },
  pre_tokenizer: {
    type: "Split",
    pattern: { String: " " },
    behavior: "MergedWithPrevious",
    invert: false,
  },
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<bos>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: { "<bos>": { id: "<bos>", ids: [2], tokens: ["<bos>"] } },
  },
  decoder: {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
    ],
  },
  model: {
    type: "BPE",
    dropout: null,
    unk_token: "<unk>",
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: true,
    byte_fallback: true,
    ignore_merges: false,
    vocab: { ...idsOf(letterTokens), "<image_soft_token>": 1_000_000 },
    merges: letterPairs,
  },
}
