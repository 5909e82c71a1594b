/** Byte-level BPE against `@huggingface/tokenizers`, for any text, pre-tokenizer and vocabulary. @module */
import { Tokenizer as Reference } from "@huggingface/tokenizers"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import * as Gguf from "../../lib/model/Gguf.ts"
import type * as Tokenizer from "../../lib/model/Tokenizer.ts"
import { type Pre, pres } from "../../lib/model/tokenizer/pre.ts"
import { alphabet } from "../../lib/model/tokenizer/utf8.ts"
import { ok, patched, tokens, withPatch } from "./vocabulary.ts"

const split = (Regex: string) => ({ type: "Split", pattern: { Regex }, behavior: "Isolated" })

/** The same vocabulary as the library reads it; the literal tokens are its first. */
const reference = (
  vocabulary: ReadonlyArray<string>,
  merges: ReadonlyArray<string>,
  { splits, ignoreMerges }: Pre,
  literals: number,
) => {
  const added = vocabulary.slice(0, literals).map((content, id) => ({
    id,
    content,
    special: true,
    normalized: false,
  }))
  return new Reference({
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [...splits.map(split), { type: "ByteLevel", use_regex: false }],
    },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
      merges: merges.map((merge) => merge.split(" ") as [string, string]),
      ignore_merges: ignoreMerges,
    },
    post_processor: null,
    decoder: null,
  }, {})
}

const texts = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }).filter((text) => text.isWellFormed()),
  fc.string({ unit: "grapheme", maxLength: 30 }),
  fc.array(
    fc.constantFrom(
      ...[" ", "  ", "\n", "\r\n", "\t", "\u0085", "\ufeff", "\u00a0", "12", "2024", "'s", "'LL"],
      ...["the", "And", "God", "<s>", "</s>", "🙂", "é", "½", "!?", "$+=", "。"],
    ),
    { maxLength: 16 },
  ).map((words) => words.join("")),
)

const encode = (self: Tokenizer.Tokenizer, text: string) => self.ids(text)
const theirs = (self: Reference, text: string) =>
  self.encode(text, { add_special_tokens: false }).ids

for (const [name, pre] of pres) {
  test(`Tokenizer.encode() agrees with the library for any text, pre-tokenizer ${name}`, () => {
    const self = withPatch({ pre: name })
    const merges = ok(Gguf.strings(patched({}), "tokenizer.ggml.merges"))
    const other = reference(tokens, merges, pre, 2)
    fc.assert(
      fc.property(texts, (text) => assert.deepEqual(encode(self, text), theirs(other, text))),
      { numRuns: 500 },
    )
  })
}

const letters = ["a", "b", "c"]

/** Merges of what is there already, in any order: also such as make a piece twice, or none that is reached. */
const merged = fc.array(fc.tuple(fc.nat(99), fc.nat(99)), { maxLength: 12 }).map((picks) => {
  const pieces = [...letters]
  const merges = new Set<string>()
  for (const [left, right] of picks) {
    const [a, b] = [pieces[left % pieces.length]!, pieces[right % pieces.length]!]
    if (!pieces.includes(a + b)) pieces.push(a + b)
    merges.add(`${a} ${b}`)
  }
  return { pieces, merges: [...merges] }
})

test("Tokenizer.encode() merges as the library does, for any merges in any order", () => {
  const vocabularies = merged.chain(({ pieces, merges }) =>
    fc.record({
      pieces: fc.constant(pieces),
      merges: fc.shuffledSubarray(merges, { minLength: merges.length }),
      texts: fc.array(fc.string({ unit: fc.constantFrom(...letters), maxLength: 40 })),
    })
  )
  fc.assert(fc.property(vocabularies, ({ pieces, merges, texts }) => {
    const rest = [...alphabet.keys()].filter((letter) => !letters.includes(letter))
    const vocabulary = [...pieces, ...rest]
    const self = withPatch({
      tokens: vocabulary,
      token_type: undefined,
      merges,
      pre: "gpt-2",
    })
    const other = reference(vocabulary, merges, pres.get("gpt-2")!, 0)
    for (const text of texts) assert.deepEqual(encode(self, text), theirs(other, text))
  }))
})
