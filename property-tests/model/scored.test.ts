/** Vocabularies with scores and byte tokens: a small one, written by hand. @module */
import { Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import * as Gguf from "../../lib/model/Gguf.ts"
import * as Tokenizer from "../../lib/model/Tokenizer.ts"
import { cutter } from "../../lib/model/tokenizer/cut.ts"
import { merge } from "../../lib/model/tokenizer/merge.ts"
import { ok, reason } from "./vocabulary.ts"
import { array, entry, f32, file, header, string, types, u32, u8 } from "./writer.ts"

const hex = (byte: number) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`

interface Token {
  readonly text: string
  readonly type: number
  readonly score: number
}
const token = (text: string, type = 1, score = 0): Token => ({ text, type, score })
const bytes = Array.from({ length: 256 }, (_, byte) => token(hex(byte), 6))
const special = [
  token("<unk>", 2),
  token("<bos>", 3),
  token("<eos>", 3),
  token("<end_of_turn>", 3),
  token("  ", 4),
  token("   ", 4),
  token("\n\n", 4),
]
const pieces = ["▁", "a", "b", "c", "d", "é"].map((text) => token(text, 1, -100))
const merged = [
  token("ab", 1, -2),
  token("bc", 1, -1),
  token("abc", 1, -3),
  token("cd", 1, -1),
  token("aa", 1, -4),
  token("▁a", 1, -5),
  token("▁ab", 1, -6),
]
const all = [...special, ...bytes, ...pieces, ...merged]

interface Options {
  readonly spacePrefix?: boolean
  readonly eot?: number
}

/** A GGUF file of nothing but a vocabulary. */
const vocabulary = (
  tokens: ReadonlyArray<Token>,
  { spacePrefix = false, eot = 0 }: Options = {},
): Tokenizer.Tokenizer => {
  const key = (name: string) => `tokenizer.ggml.${name}`
  const entries = [
    entry(key("model"), types.string, string("llama")),
    entry(
      key("tokens"),
      types.array,
      array(types.string, ...tokens.map(({ text }) => string(text))),
    ),
    entry(key("scores"), types.array, array(types.f32, ...tokens.map(({ score }) => f32(score)))),
    entry(key("token_type"), types.array, array(types.i32, ...tokens.map(({ type }) => u32(type)))),
    entry(key("bos_token_id"), types.u32, u32(1)),
    entry(key("eos_token_id"), types.u32, u32(2)),
    entry(key("eot_token_id"), types.u32, u32(eot)),
    entry(key("add_space_prefix"), types.bool, u8(spacePrefix ? 1 : 0)),
  ]
  const data = file([header(0, entries.length), ...entries])
  return ok(Tokenizer.fromGguf(ok(Gguf.parse("small.gguf", data))))
}
const small = vocabulary(all)

/** The tokens of a text, as stored. */
const cut = (text: string, self = small, tokens: ReadonlyArray<Token> = all) =>
  ok(Tokenizer.encode(self, text)).map((id) => tokens[id]!.text)

test("Tokenizer.encode() merges the two neighbours with the highest score first", () => {
  assert.deepEqual(cut("ab"), ["ab"])
  assert.deepEqual(cut("abc"), ["abc"]) // b + c, then a + bc
  assert.deepEqual(cut("abcd"), ["abc", "d"]) // of bc and cd, which score alike, the left one
  assert.deepEqual(cut("acd"), ["a", "cd"])
  assert.deepEqual(cut("aaa"), ["aa", "a"])
  assert.deepEqual(cut("aab"), ["a", "ab"]) // ab before aa
  assert.deepEqual(cut(""), [])
})

test("Tokenizer.encode() writes spaces as ▁ and finds runs of them before all else", () => {
  assert.deepEqual(cut(" ab a"), ["▁ab", "▁a"])
  assert.deepEqual(cut("a  b    c"), ["a", "  ", "b", "   ", "▁", "c"])
  assert.deepEqual(cut("\n\n\n"), ["\n\n", "<0x0A>"])
  assert.deepEqual(cut("a<eos>b<end_of_turn>"), ["a", "<eos>", "b", "<end_of_turn>"])
})

test("Tokenizer.encode() reads ▁ as a space: the vocabulary knows no difference", () => {
  assert.deepEqual(cut("▁ab▁"), cut(" ab "))
  assert.equal(ok(Tokenizer.decode(small, ok(Tokenizer.encode(small, "▁ab▁")))), " ab ")
})

test("Tokenizer.encode() puts a space before a text where the vocabulary wants it", () => {
  const self = vocabulary(all, { spacePrefix: true })
  assert.deepEqual(cut("ab", self), ["▁ab"])
  assert.deepEqual(cut(" ab", self), ["▁", "▁ab"])
  assert.deepEqual(cut("<eos>ab", self), ["<eos>", "ab"])
  assert.deepEqual(cut("", self), [])
  assert.equal(ok(Tokenizer.decode(self, ok(Tokenizer.encode(self, "ab")))), " ab")
})

test("Tokenizer.encode() falls back to the bytes of a letter, or refuses it if there are none", () => {
  assert.deepEqual(cut("é🙂x"), ["é", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>", "<0x78>"])
  const without = [...special, ...pieces, ...merged]
  const self = vocabulary(without)
  assert.deepEqual(cut("ab é", self, without), ["ab", "▁", "é"])
  assert.equal(
    reason(Tokenizer.encode(self, "ab 🙂")),
    'Cannot take "🙂" as text: it must be of bytes that this vocabulary has tokens for',
  )
})

test("Tokenizer.encode() of what a byte token is called does not take it for one", () => {
  const ids = ok(Tokenizer.encode(small, "<0x41>"))
  assert.equal(ids.length, 6)
  assert.equal(ok(Tokenizer.decode(small, ids)), "<0x41>")
  assert.equal(ok(Tokenizer.decode(small, [special.length + 0x41])), "A")
})

test("Tokenizer.fromGguf() knows where answers end, and that BOS comes first", () => {
  assert.deepEqual([...small.stops], [2, 0, 3]) // EOS, what the file names, <end_of_turn>
  assert.deepEqual([...vocabulary(all, { eot: 5 }).stops], [2, 5, 3])
  assert.deepEqual(ok(Tokenizer.encode(small, "a", { addSpecial: true })).at(0), 1)
  assert.deepEqual([...small.special], [1, 2, 3])
})

const text = fc.array(
  fc.oneof(
    fc.constantFrom("a", "b", "c", "d", " ", "  ", "\n", "é", "<eos>", "<0x41>", "🙂", "\u0000"),
    fc.string({ unit: "binary", maxLength: 3 }),
  ),
  { maxLength: 24 },
).map((parts) => parts.join(""))

test("Tokenizer.decode() undoes encode() for any text, at once and token by token", () => {
  const prefixed = vocabulary(all, { spacePrefix: true })
  fc.assert(
    fc.property(text, (text) => {
      const plain = text.replaceAll("▁", " ")
      const ids = ok(Tokenizer.encode(small, text))
      assert.equal(ok(Tokenizer.decode(small, ids)), plain)
      let [state, streamed] = [Tokenizer.decoder, ""]
      for (const id of ids) {
        const [next, piece] = ok(Tokenizer.push(small, state, id))
        assert.ok(piece.isWellFormed() && (text.includes("\ufffd") || !piece.includes("\ufffd")))
        state = next
        streamed += piece
      }
      assert.equal(streamed + Tokenizer.flush(state), plain)
      const back = ok(Tokenizer.decode(prefixed, ok(Tokenizer.encode(prefixed, text))))
      assert.ok([plain, ` ${plain}`].includes(back))
    }),
    { numRuns: 1000 },
  )
})

const scores = fc.dictionary(
  fc.string({ unit: fc.constantFrom("a", "b", "🙂"), minLength: 2, maxLength: 5 }),
  fc.integer({ min: -3, max: 0 }),
  { noNullPrototype: false },
).map((found) => new Map(Object.entries(found)))

test("merge agrees with looking through all neighbours for the best, again and again", () => {
  const letters = fc.array(fc.constantFrom<string>("a", "b", "🙂"), { maxLength: 16 })
  fc.assert(
    fc.property(letters, scores, (letters, scores) => {
      const left = [...letters]
      for (;;) {
        const worth = left.slice(1).map((right, i) => scores.get(left[i]! + right) ?? -Infinity)
        const best = Math.max(-Infinity, ...worth)
        if (best === -Infinity) break
        const at = worth.indexOf(best)
        left.splice(at, 2, left[at]! + left[at + 1]!)
      }
      const text = letters.join("")
      const score = (left: number, _: number, end: number) => scores.get(text.slice(left, end))
      assert.deepEqual(merge(text, score), left)
    }),
    { numRuns: 2000 },
  )
})

test("cutter finds at each place the longest token, from the left", () => {
  const tokens = fc.uniqueArray(
    fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 4 }),
    { maxLength: 5 },
  )
  const text = fc.string({ unit: fc.constantFrom("a", "b", "c", "d"), maxLength: 16 })
  fc.assert(
    fc.property(tokens, text, (tokens, text) => {
      const parts = cutter(tokens.map((token, id) => [id, token] as const))(text)
      const pattern = tokens.toSorted((a, b) => b.length - a.length).join("|")
      const found = pattern === "" ? [text] : text.split(new RegExp(`(${pattern})`))
      assert.deepEqual(
        parts.map((part) => typeof part === "number" ? tokens[part] : part),
        found.filter((part) => part !== ""),
      )
    }),
    { numRuns: 1000 },
  )
})

test("Tokenizer.encode() with scores of 100,000 characters is not quadratic", () => {
  for (const unit of ["a", "ab", " ", "\n", "🙂", "<", "<eos>", "abc d "]) {
    const text = unit.repeat(Math.ceil(100_000 / unit.length))
    const ids = ok(Tokenizer.encode(small, text))
    assert.equal(ok(Tokenizer.decode(small, ids)), text)
  }
})

test("Tokenizer.decode() of any ids is well-formed text", () => {
  fc.assert(fc.property(fc.array(fc.nat(all.length - 1), { maxLength: 20 }), (ids) => {
    assert.ok(Result.isSuccess(Tokenizer.decode(small, ids)))
    assert.ok(ok(Tokenizer.decode(small, ids)).isWellFormed())
  }))
})
