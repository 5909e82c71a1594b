/** The tokenizer: texts and vocabularies it refuses. @module */
import { Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import * as Tokenizer from "../../lib/model/Tokenizer.ts"
import { kjv, ok, type Patch, patched, reason, tokens, withPatch } from "./vocabulary.ts"

test("Tokenizer.encode() refuses a text it could not give back", () => {
  assert.equal(
    reason(Tokenizer.encode(kjv, "a\ud83d b")),
    'Cannot take "\\ud83d" as text: it must be part of a whole surrogate pair',
  )
  // Some vocabularies lack bytes that their training text never had: here 0xF0 is gone.
  const self = withPatch({ tokens: tokens.map((token) => token === "ð" ? "none" : token) })
  assert.equal(ok(Tokenizer.decode(self, ok(Tokenizer.encode(self, "é <s>")))), "é <s>")
  assert.equal(
    reason(Tokenizer.encode(self, "é 🙂")),
    'Cannot take "🙂" as text: it must be of bytes that this vocabulary has tokens for',
  )
  // A special token that is the letter of another byte: "Ġ" is how a space is written.
  const clash = withPatch({
    tokens: ["Ġ", "a"],
    token_type: Int32Array.of(3, 1),
    merges: [],
    bos_token_id: undefined,
    eos_token_id: undefined,
    add_bos_token: false,
  })
  assert.match(reason(Tokenizer.encode(clash, "a a")), /^Cannot take " " as text/)
})

const refusals: ReadonlyArray<readonly [what: string, patch: Patch, text: string]> = [
  [
    "another model",
    { model: "t5" },
    'run a model whose tokenizer is "t5": "gpt2" or "llama" is supported',
  ],
  [
    "a vocabulary without scores",
    { model: "llama" },
    'read the model x.gguf at byte 0: "tokenizer.ggml.scores" is missing: an array of numbers from -3.5e+38 to 3.5e+38 is needed',
  ],
  [
    "too few scores",
    { model: "llama", scores: Float32Array.of(0) },
    'read the model x.gguf at byte 7: "tokenizer.ggml.scores" has 1 elements: 2048 are needed',
  ],
  [
    "a score that is no number",
    { model: "llama", scores: new Float32Array(2048).fill(NaN) },
    'read the model x.gguf at byte 7: "tokenizer.ggml.scores" is 2048 elements of u32: an array of numbers from -3.5e+38 to 3.5e+38 is needed',
  ],
  [
    "a byte token that names no byte",
    { model: "llama", scores: new Float32Array(2048), token_type: new Int32Array(2048).fill(6) },
    'read the model x.gguf at byte 708: "tokenizer.ggml.tokens" has "<s>" as byte token 0: <0x00> to <0xFF> are needed',
  ],
  [
    "no model",
    { model: undefined },
    'read the model x.gguf at byte 0: "tokenizer.ggml.model" is missing: a string is needed',
  ],
  [
    "another pre-tokenizer",
    { pre: "constructor" },
    'run a model whose pre-tokenizer is "constructor": "gpt-2", "smollm", "llama-bpe", "qwen2" or "default" is supported',
  ],
  [
    "no tokens",
    { tokens: [] },
    'read the model x.gguf at byte 7: "tokenizer.ggml.tokens" is empty',
  ],
  [
    "too few types",
    { token_type: Int32Array.of(1) },
    'read the model x.gguf at byte 7: "tokenizer.ggml.token_type" has 1 elements: 2048 are needed',
  ],
  [
    "a type of 9",
    { token_type: new Int32Array(2048).fill(9) },
    'read the model x.gguf at byte 7: "tokenizer.ggml.token_type" is 2048 elements of u32: an array of numbers from 0 to 6 is needed',
  ],
  [
    "a merge of one word",
    { merges: ["th"] },
    'read the model x.gguf at byte 7: "tokenizer.ggml.merges" has "th" at 0: two words are needed',
  ],
  [
    "a merge of three words",
    { merges: ["t h e"] },
    'read the model x.gguf at byte 7: "tokenizer.ggml.merges" has "t h e" at 0: two words are needed',
  ],
  [
    "a merge into no token",
    { merges: ["t h", "q q"] },
    'read the model x.gguf at byte 7: "tokenizer.ggml.merges" has "q q" at 1: both words and the two joined must be tokens',
  ],
  [
    "BOS outside the vocabulary",
    { bos_token_id: 2048 },
    'read the model x.gguf at byte 7: "tokenizer.ggml.bos_token_id" is 2048: a whole number from 0 to 2047 is needed',
  ],
  [
    "BOS wanted but missing",
    { bos_token_id: undefined, add_bos_token: true },
    'read the model x.gguf at byte 7: "tokenizer.ggml.add_bos_token" is true: "tokenizer.ggml.bos_token_id" is missing',
  ],
  [
    "EOS wanted but missing",
    { eos_token_id: undefined, add_eos_token: true },
    'read the model x.gguf at byte 7: "tokenizer.ggml.add_eos_token" is true: "tokenizer.ggml.eos_token_id" is missing',
  ],
  [
    "a special token of 1,025 characters",
    { tokens: ["x".repeat(1025), ...tokens.slice(1)] },
    'read the model x.gguf at byte 7: "tokenizer.ggml.tokens" has 1025 characters in special token 0: at most 1024 in one and 1048576 in all are read',
  ],
]

for (const [what, patch, text] of refusals) {
  test(`Tokenizer.fromGguf() refuses ${what}`, () => {
    assert.equal(reason(Tokenizer.fromGguf(patched(patch))), `Cannot ${text}`)
  })
}

const junk = fc.oneof(
  fc.integer(),
  fc.boolean(),
  fc.constantFrom("gpt2", "smollm", "__proto__", ""),
  fc.array(fc.constantFrom("a", "a b", "", " ", "__proto__", "<s>", "é"), { maxLength: 6 }),
  fc.array(fc.nat(7), { maxLength: 6 }).map((types) => Int32Array.from(types)),
  fc.constant(undefined),
)
const names = ["model", "pre", "tokens", "token_type", "merges", "bos_token_id", "add_bos_token"]
const anyPatch = fc.record(Object.fromEntries(names.map((name) => [name, junk])), {
  requiredKeys: [],
})
const letters = [
  "a",
  "b",
  "ab",
  "ba",
  "aba",
  "Ġ",
  "Ġa",
  "Ã",
  "©",
  "Ã©",
  "é",
  "<s>",
  "__proto__",
  "",
]
/** A vocabulary that agrees with itself, mostly: any tokens may be special. */
const small = fc.uniqueArray(fc.constantFrom(...letters), { minLength: 1 }).chain((tokens) =>
  fc.record({
    tokens: fc.constant(tokens),
    token_type: fc.array(fc.constantFrom(1, 1, 1, 3, 4, 6), {
      minLength: tokens.length,
      maxLength: tokens.length,
    }).map((types) => Int32Array.from(types)),
    merges: fc.shuffledSubarray(
      tokens.flatMap((left) => tokens.map((right) => [left, right] as const))
        .filter(([left, right]) => left && right && tokens.includes(left + right))
        .map((pair) => pair.join(" ")),
    ),
    bos_token_id: fc.constant(undefined),
    add_bos_token: fc.constant(undefined),
    eos_token_id: fc.constant(undefined),
  })
)

test("Tokenizer.fromGguf() of any metadata fails with a type, or gives texts back or refuses them", () => {
  const count = { refused: 0, unencodable: 0, given: 0 }
  const text = fc.array(fc.constantFrom("a", "b", " ", "é", "<s>", "🙂"), { maxLength: 8 })
    .map((parts) => parts.join(""))
  fc.assert(
    fc.property(fc.oneof(anyPatch, small), text, (patch, text) => {
      const made = Tokenizer.fromGguf(patched(patch))
      if (Result.isFailure(made)) {
        count.refused++
        assert.match(made.failure._tag, /^(BadModelFile|UnsupportedModel)$/)
        return
      }
      const ids = Tokenizer.encode(made.success, text)
      if (Result.isFailure(ids)) {
        count.unencodable++
        assert.equal(ids.failure._tag, "InvalidArgument")
        return
      }
      count.given++
      assert.equal(ok(Tokenizer.decode(made.success, ids.success)), text)
    }),
    { numRuns: 2000 },
  )
  for (const [what, n] of Object.entries(count)) assert.ok(n > 100, `${what}: only ${n}`)
})
