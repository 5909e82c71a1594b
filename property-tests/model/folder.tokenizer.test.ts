/** `tokenizer.json` is read as the same vocabulary in GGUF is. @module */
import { Tokenizer as Reference } from "@huggingface/tokenizers"
import { Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import * as Tokenizer from "../../lib/model/Tokenizer.ts"
import {
  bytes,
  llama3,
  readVocabulary,
  type Said,
  sequence,
  split,
  template,
  tokenizer,
  tokenizerOf,
} from "./folder.ts"
import { qwen2Split } from "./tiny.vocabularies.ts"
import { kjv, ok, tokens, withPatch } from "./vocabulary.ts"

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.array(
    fc.constantFrom(
      " ",
      "  ",
      "\n",
      "\r\n",
      "12",
      "1234",
      "'s",
      "'LL",
      "God",
      "<s>",
      "🙂",
      "é",
      "½",
    ),
    { maxLength: 12 },
  ).map((words) => words.join("")),
)

/** Ids, or why there are none. */
const idsOf = (self: Tokenizer.Tokenizer, text: string) =>
  Result.merge(Result.mapError(Tokenizer.encode(self, text), ({ message }) => message))

const folderTokenizer = tokenizerOf({})

test("Tokenizer of a tokenizer.json is that of the GGUF file, for any text", () => {
  const plain = ({ ids: _, returns: __, ...rest }: Tokenizer.Tokenizer) => ({
    ...rest,
    starts: [...Array.from(rest.starts)],
  })
  assert.deepEqual(plain(folderTokenizer), plain(kjv))
  fc.assert(
    fc.property(text, (text) => assert.deepEqual(idsOf(folderTokenizer, text), idsOf(kjv, text))),
    { numRuns: 500 },
  )
})

test("Tokenizer of a tokenizer.json gives the ids that the library gives for the file itself", () => {
  const reference = new Reference(tokenizer, {})
  fc.assert(
    fc.property(text.filter((text) => text.isWellFormed()), (text) => {
      const { ids } = reference.encode(text, { add_special_tokens: false })
      assert.deepEqual(idsOf(folderTokenizer, text), ids)
    }),
    { numRuns: 500 },
  )
})

/** How models' files write what GGUF has a name for. */
const written: ReadonlyArray<readonly [pre: string, said: Said]> = [
  ["gpt-2", { tokenizer: { pre_tokenizer: bytes(true) } }],
  ["smollm", {
    tokenizer: {
      pre_tokenizer: sequence({ type: "Digits", individual_digits: true }, bytes(true)),
    },
  }],
  ["llama-bpe", {
    tokenizer: { pre_tokenizer: sequence(split(llama3), bytes(false)) },
    model: { ignore_merges: true },
  }],
  ["qwen2", { tokenizer: { pre_tokenizer: sequence(split(qwen2Split), bytes(false)) } }],
]

for (const [pre, said] of written) {
  test(`Tokenizer of a tokenizer.json cuts as GGUF's ${pre}`, () => {
    const [self, gguf] = [tokenizerOf(said), withPatch({ pre })]
    fc.assert(
      fc.property(text, (text) => assert.deepEqual(idsOf(self, text), idsOf(gguf, text))),
      { numRuns: 300 },
    )
  })
}

test("Tokenizer of a tokenizer.json takes merges as pairs or as words", () => {
  const pairs = tokenizer.model["merges"] as ReadonlyArray<readonly [string, string]>
  const words = tokenizerOf({ model: { merges: pairs.map((pair) => pair.join(" ")) } })
  assert.deepEqual(idsOf(words, "In the beginning"), idsOf(kjv, "In the beginning"))
})

test("Tokenizer of a tokenizer.json leaves ids that no token has, and decodes them to nothing", () => {
  const padded = tokenizerOf({ size: 2050 })
  assert.equal(padded.vocabSize, 2050)
  assert.equal(ok(Tokenizer.decode(padded, [42, 2048, 2049])), ok(Tokenizer.decode(kjv, [42])))
  assert.deepEqual(idsOf(padded, "In the\0beginning"), idsOf(kjv, "In the\0beginning"))
})

test("Tokenizer of a tokenizer.json finds added tokens, and counts the special ones", () => {
  const added = [
    { id: 2048, content: "<|im_end|>", special: true },
    { id: 2049, content: "<tool>", special: false },
  ]
  const self = tokenizerOf({
    size: 2050,
    tokenizer: { added_tokens: [...tokenizer["added_tokens"] as [], ...added] },
  })
  assert.deepEqual(ok(Tokenizer.encode(self, "<tool>a<|im_end|>")), [2049, 66, 2048])
  assert.deepEqual([...self.special], [0, 1, 2048])
  assert.ok(self.stops.has(2048))
})

const ends = (said: Said) => {
  const { bos, eos, addBos, addEos, stops } = ok(readVocabulary(said))
  return { bos, eos, addBos, addEos, stops }
}
test("Tokenizer of a folder begins and ends a text as its files say, the nearest first", () => {
  const plain = { bos: 0, eos: 1, addBos: true, addEos: false, stops: [1] }
  assert.deepEqual(ends({}), plain)
  assert.deepEqual(ends({ tokenizerConfig: { tokenizer_class: "LlamaTokenizerFast" } }), plain)
  const gpt = { tokenizer_class: "GPT2Tokenizer" }
  assert.equal(ends({ tokenizerConfig: gpt }).addBos, false)
  assert.equal(ends({ tokenizerConfig: { ...gpt, add_bos_token: true } }).addBos, true)
  const both = { tokenizer: { post_processor: template("<s>", "A", "</s>") } }
  assert.deepEqual(ends(both), { ...plain, addEos: true })
  assert.deepEqual(ends({ ...both, tokenizerConfig: gpt }), { ...plain, addEos: true })
  assert.equal(ends({ ...both, tokenizerConfig: { add_eos_token: false } }).addEos, false)
  assert.equal(ends({ tokenizer: { post_processor: template("A") } }).addBos, false)

  assert.deepEqual(ends({ config: { eos_token_id: [7, 8] } }), { ...plain, eos: 7, stops: [7, 8] })
  const generationConfig = { eos_token_id: [9, 1] }
  assert.deepEqual(ends({ generationConfig }), { ...plain, eos: 9, stops: [1, 9, 1] })
  const named = { bos_token: { content: "</s>" }, eos_token: "<s>" }
  const turned = ends({ generationConfig, tokenizerConfig: named })
  assert.deepEqual([turned.bos, turned.eos], [1, 0])
  const none = ends({ config: { bos_token_id: null, eos_token_id: null } })
  assert.deepEqual(none, {
    bos: undefined,
    eos: undefined,
    addBos: false,
    addEos: false,
    stops: [],
  })
})

test("Tokenizer of a tokenizer.json has the GGUF file's tokens", () => {
  const { tokens: ours } = ok(readVocabulary({}))
  assert.deepEqual(ours, tokens)
})
