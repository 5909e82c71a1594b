/** `tokenizer.json` of Qwen 2 and Gemma 3 give the ids that the library gives for the files themselves. @module */
import { Tokenizer as Reference } from "@huggingface/tokenizers"
import { Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import * as Tokenizer from "../../lib/model/Tokenizer.ts"
import { notRun as run, type Patch, readVocabulary } from "./folder.ts"
import { gemma3Tokenizer, qwen2Tokenizer } from "./tiny.vocabularies.ts"
import { ok, reason } from "./vocabulary.ts"

/** The model of a file; `tokenizer` of `readVocabulary` takes the place of the tiny model's. */
const modelOf = (file: Patch) => file["model"] as Patch
const gemmaEnds = { bos_token_id: 2, eos_token_id: 1 }
const vocabularyOf = (file: Patch, patch: Patch = {}, model: Patch = {}) =>
  readVocabulary({
    config: file === gemma3Tokenizer ? gemmaEnds : { bos_token_id: null, eos_token_id: null },
    tokenizer: { ...file, ...patch, model: { ...modelOf(file), ...model } },
    tokenizerConfig: {},
    size: 300,
  })
const qwen = Tokenizer.fromVocabulary(ok(vocabularyOf(qwen2Tokenizer)))
const gemma = Tokenizer.fromVocabulary(ok(vocabularyOf(gemma3Tokenizer)))

const parts = [
  " ",
  "  ",
  "   ",
  "\n",
  "\n\n",
  "\r\n",
  "12",
  "1234",
  "'s",
  "'LL",
  "the",
  "abc",
  "é",
  "e\u0301",
  "\u1100\u1161",
  "\u212b",
  "🙂",
  "½",
  "<|im_end|>",
  "<|im_end|>\u0338",
  "<end_of_turn>",
  "<bos>",
  "<unk>",
  "<0x41>",
]
const text = fc.array(
  fc.oneof(fc.constantFrom(...parts), fc.string({ unit: "binary", maxLength: 4 })),
  { maxLength: 16 },
).map((words) => words.join("")).filter((text) => text.isWellFormed())

const spaces = (text: string): string => text.replaceAll("▁", " ")

test("Tokenizer of Qwen 2's tokenizer.json gives the library's ids, and the text again, composed", () => {
  const reference = new Reference(qwen2Tokenizer, {})
  fc.assert(
    fc.property(text, (text) => {
      const ids = ok(Tokenizer.encode(qwen, text))
      assert.deepEqual(ids, reference.encode(text, { add_special_tokens: false }).ids)
      const back = text.split("<|im_end|>").map((part) => part.normalize("NFC"))
      assert.equal(ok(Tokenizer.decode(qwen, ids)), back.join("<|im_end|>"))
    }),
    { numRuns: 1000 },
  )
  assert.deepEqual([qwen.addBos, qwen.addEos, qwen.bos], [false, false, undefined])
})

test("Tokenizer of Gemma 3's tokenizer.json gives the library's ids, and the text again", () => {
  const reference = new Reference(gemma3Tokenizer, {})
  fc.assert(
    fc.property(text.map(spaces), (text) => {
      const ids = ok(Tokenizer.encode(gemma, text))
      assert.deepEqual(ids, reference.encode(text, { add_special_tokens: false }).ids)
      assert.equal(ok(Tokenizer.decode(gemma, ids)), text)
    }),
    { numRuns: 1000 },
  )
})

test("Tokenizer of Gemma 3's tokenizer.json knows its special tokens, and none past its embeddings", () => {
  const said = ok(readVocabulary({
    config: gemmaEnds,
    tokenizer: gemma3Tokenizer,
    tokenizerConfig: { bos_token: "<bos>", eos_token: "<eos>" },
    size: 300,
  }))
  const self = Tokenizer.fromVocabulary(said)
  const ids = (text: string) => ok(Tokenizer.encode(self, text, { addSpecial: true }))
  const tokens = (text: string) => ids(text).map((id) => said.tokens[id])
  assert.deepEqual(tokens(" the   abc"), ["<bos>", "▁the", "▁▁▁", "abc"])
  assert.deepEqual(tokens("é<end_of_turn>🙂"), [
    "<bos>",
    "é",
    "<end_of_turn>",
    "<0xF0>",
    "<0x9F>",
    "<0x99>",
    "<0x82>",
  ])
  assert.ok(tokens("<image_soft_token>").includes("<0x3C>"))
  assert.equal(ok(Tokenizer.decode(self, [6])), "   ")
  assert.ok(self.stops.has(said.tokens.indexOf("<end_of_turn>")))
  assert.deepEqual([self.addBos, self.bos, self.eos], [true, 2, 1])
})

test("Tokenizer of 100,000 characters with a list of merges is not quadratic", () => {
  for (const unit of ["a", "ab", " ", "\n", "🙂", "<", "the abc "]) {
    const text = unit.repeat(Math.ceil(100_000 / unit.length))
    assert.equal(ok(Tokenizer.decode(gemma, ok(Tokenizer.encode(gemma, text)))), text)
  }
})

const refusals: ReadonlyArray<readonly [what: string, patch: Patch, model: Patch, text: string]> = [
  [
    "a space before a text",
    { normalizer: { type: "Sequence", normalizers: [] } },
    {},
    run("normalizer beside byte_fallback", "Sequence", 'Replace of " " by "▁"'),
  ],
  [
    "no normalizer",
    { normalizer: null },
    {},
    run("normalizer beside byte_fallback", "none", 'Replace of " " by "▁"'),
  ],
  [
    "another letter for spaces",
    { normalizer: { type: "Replace", pattern: { String: " " }, content: "_" } },
    {},
    run("normalizer beside byte_fallback", "Replace", 'Replace of " " by "▁"'),
  ],
  [
    "another pre-tokenizer",
    { pre_tokenizer: { type: "Metaspace" } },
    {},
    run("pre-tokenizer beside byte_fallback", "Metaspace", 'Split at " "'),
  ],
  [
    "another decoder",
    { decoder: { type: "ByteLevel" } },
    {},
    run("decoder beside byte_fallback", "ByteLevel", "Replace, ByteFallback and Fuse"),
  ],
  [
    "pieces that pass over merges",
    {},
    { ignore_merges: true },
    run("tokenizer beside byte_fallback", "ignore_merges", "BPE without it"),
  ],
]

for (const [what, patch, model, text] of refusals) {
  test(`Tokenizer of Gemma 3's tokenizer.json refuses ${what}`, () => {
    const said = reason(vocabularyOf(gemma3Tokenizer, patch, model))
    assert.equal(said, `Cannot ${text}`)
  })
}

test("Tokenizer of a tokenizer.json takes parts that are not there", () => {
  const without = { pre_tokenizer: null, decoder: null, post_processor: null }
  const self = Tokenizer.fromVocabulary(ok(vocabularyOf(gemma3Tokenizer, without)))
  assert.ok(Result.isSuccess(Tokenizer.encode(self, "the abc")))
})
