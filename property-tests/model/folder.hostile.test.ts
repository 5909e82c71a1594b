/** `tokenizer.json`: what cannot be run is named, what is damaged is refused. @module */
import { Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  bytes,
  config,
  llama3,
  notRun as run,
  type Patch,
  readConfig,
  readVocabulary,
  type Said,
  sequence,
  split,
  template,
} from "./folder.ts"
import { reason } from "./vocabulary.ts"

const at = "read the model tokenizer.json at byte N: "
const pre = (pre_tokenizer: unknown) => ({ tokenizer: { pre_tokenizer } })
const added = (token: Patch): Said => ({ tokenizer: { added_tokens: [token] } })

/** What a vocabulary says, and all that is said of it. */
const refusals: ReadonlyArray<readonly [what: string, said: Said, text: string]> = [
  ["no model", { tokenizer: { model: null } }, at + '"model" is null: an object is needed'],
  ["words", { model: { type: "WordPiece" } }, run("tokenizer", "WordPiece", '"BPE"')],
  [
    "unknown tokens that fuse",
    { model: { fuse_unk: true } },
    run("tokenizer", "fuse_unk", "byte-level BPE, or one with byte_fallback,"),
  ],
  [
    "ends of words",
    { model: { end_of_word_suffix: "</w>" } },
    run("tokenizer", "end_of_word_suffix", "BPE without it"),
  ],
  [
    "a normalizer",
    { tokenizer: { normalizer: { type: "Lowercase" } } },
    run("normalizer", "Lowercase", '"NFC" or none'),
  ],
  [
    "another decoder",
    { tokenizer: { decoder: { type: "Metaspace" } } },
    run("decoder", "Metaspace", '"ByteLevel"'),
  ],
  ["no pre-tokenizer", pre(null), at + '"pre_tokenizer" is null: an object is needed'],
  [
    "another pre-tokenizer",
    pre({ type: "Metaspace" }),
    run("pre-tokenizer", "Metaspace", "Sequence, Split, Digits or ByteLevel"),
  ],
  [
    "no step to bytes",
    pre(sequence({ type: "Digits" })),
    run("pre-tokenizer", "\\p{N}+", "one that ends in its only ByteLevel"),
  ],
  ["no steps", pre(sequence()), run("pre-tokenizer", "", "one that ends in its only ByteLevel")],
  [
    "a space before a text",
    pre({ type: "ByteLevel" }),
    run("ByteLevel", "add_prefix_space", "none of it"),
  ],
  [
    "an expression that takes forever",
    pre(sequence(split("(a+)+$"), bytes(false))),
    run("Split expression", "(a+)+$", 'one of "gpt-2", "smollm", "llama-bpe", "qwen2", "default"'),
  ],
  [
    "an expression of what is between",
    pre(sequence({ ...split(llama3), invert: true }, bytes(false))),
    run("Split", "invert", "none of it"),
  ],
  [
    "another way to split",
    pre(sequence({ ...split(llama3), behavior: "Removed" }, bytes(false))),
    run("Split", "Removed", '"Isolated"'),
  ],
  [
    "another post-processor",
    { tokenizer: { post_processor: { type: "BertProcessing" } } },
    run("post-processor", "BertProcessing", "TemplateProcessing or ByteLevel"),
  ],
  [
    "another token before a text",
    { tokenizer: { post_processor: template("</s>", "A") } },
    run("post-processor", "</s>", "BOS before and EOS after"),
  ],
  [
    "an id past the embeddings",
    { size: 2047 },
    at + '"model.vocab" has "\\u{120}horses" at 2047: ' +
    "a whole number below the model's vocabulary of 2047 is needed",
  ],
  [
    "two tokens at one id",
    { model: { vocab: { a: 0, b: 0 }, merges: [] } },
    at + '"model.vocab" has "b" and "a" at 0',
  ],
  [
    "a fraction of an id",
    { model: { vocab: { a: 0.5 } } },
    at +
    '"model.vocab" has "a" at 0.5: a whole number below the model\'s vocabulary of 2048 is needed',
  ],
  [
    "a merge of one word",
    { model: { merges: ["th"] } },
    at + '"model.merges" has "th" at 0: two words are needed',
  ],
  [
    "a merge of three words",
    { model: { merges: [["t", "h", "e"]] } },
    at + '"model.merges" has an array at 0: two words are needed',
  ],
  [
    "a merge into no token",
    { model: { merges: [["t", "h"], ["q", "q"]] } },
    at + '"model.merges" has "q q" at 1: both words and the two joined must be tokens',
  ],
  [
    "an added token at another id",
    added({ id: 5, content: "<s>", special: true }),
    at + '"added_tokens[0].content" is "<s>" at 5, and is there twice',
  ],
  [
    "an added token in place of another",
    added({ id: 5, content: "<new>", special: true }),
    at + '"added_tokens[0].content" is "<new>" at 5, and is there twice',
  ],
  [
    "an added token that is empty",
    added({ id: 0, content: "" }),
    at + '"added_tokens[0].content" has 0 characters: 1 to 1024 in one and 1048576 in all are read',
  ],
  [
    "an added token that takes spaces",
    added({ id: 0, content: "<s>", lstrip: true }),
    'run a model whose special token "<s>" is "lstrip": none of it is supported',
  ],
  [
    "a BOS that is no token",
    { tokenizerConfig: { bos_token: "constructor" } },
    'read the model tokenizer_config.json at byte N: "bos_token" is not in the vocabulary',
  ],
  [
    "a BOS outside the vocabulary",
    { config: { bos_token_id: 2048 } },
    'read the model config.json at byte N: "bos_token_id" is 2048: a whole number from 0 to 2047 is needed',
  ],
  [
    "BOS where there is none",
    { config: { bos_token_id: null }, tokenizerConfig: { add_bos_token: true } },
    'read the model tokenizer_config.json at byte N: "add_bos_token" is true: tokenizer.json names no such token',
  ],
]

for (const [what, said, text] of refusals) {
  test(`Tokenizer of a tokenizer.json refuses ${what}`, () => {
    const said_ = reason(readVocabulary(said)).replace(/at byte \d+/, "at byte N")
    assert.equal(said_, `Cannot ${text}`)
  })
}

test("Config and Tokenizer of damaged files fail with a type", () => {
  let refused = 0
  const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.integer(), fc.constant(undefined))
  const check = (result: Result.Result<unknown, { readonly _tag: string }>) => {
    if (Result.isSuccess(result)) return
    refused++
    assert.match(result.failure._tag, /^(BadModelFile|UnsupportedModel)$/)
  }
  const patch = (keys: ReadonlyArray<string>) =>
    fc.dictionary(fc.constantFrom(...keys), value, { minKeys: 1, maxKeys: 2 })
  fc.assert(fc.property(patch(Object.keys(config)), (patch) => check(readConfig(patch))))
  const small = { vocab: { a: 0, b: 1, ab: 2 }, merges: [["a", "b"]] }
  const parts = ["pre_tokenizer", "post_processor", "normalizer", "decoder", "added_tokens"]
  const said = fc.record({
    tokenizer: patch(parts),
    model: patch(["type", "vocab", "merges", "ignore_merges", "unk_token"]),
  }, { requiredKeys: [] })
  fc.assert(
    fc.property(
      said,
      (said) => check(readVocabulary({ ...said, model: { ...small, ...said.model } })),
    ),
  )
  assert.ok(refused > 50, `${refused}`)
})
