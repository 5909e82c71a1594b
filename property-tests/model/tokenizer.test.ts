/** The tokenizer: golden cases, round trips and streaming. @module */
import { Tokenizer as Reference } from "@huggingface/tokenizers"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import * as Tokenizer from "../../lib/model/Tokenizer.ts"
import { kjv, ok, read, reason, tokens, withPatch } from "./vocabulary.ts"

const stream = (self: Tokenizer.Tokenizer, ids: ReadonlyArray<number>): ReadonlyArray<string> => {
  let state = Tokenizer.decoder
  const texts = ids.map((id) => {
    const [next, text] = ok(Tokenizer.push(self, state, id))
    state = next
    return text
  })
  return [...texts, Tokenizer.flush(state)]
}

interface Case {
  readonly text: string
  readonly ids: ReadonlyArray<number>
  readonly decoded: string
}
const golden: { readonly cases: ReadonlyArray<Case> } = JSON.parse(
  new TextDecoder().decode(read("property-tests/golden/kjv-3m/tokenizer.json")),
)

test("Tokenizer.encode() and decode() agree with every golden case", () => {
  assert.equal(golden.cases.length, 15)
  for (const { text, ids, decoded } of golden.cases) {
    assert.deepEqual(ok(Tokenizer.encode(kjv, text)), ids)
    assert.equal(ok(Tokenizer.decode(kjv, ids)), decoded)
    assert.equal(stream(kjv, ids).join(""), decoded)
  }
})

test("Tokenizer.fromGguf() reads sizes and special ids", () => {
  const { vocabSize, bos, eos, addBos, addEos, special } = kjv
  assert.deepEqual({ vocabSize, bos, eos, addBos, addEos }, {
    vocabSize: 2048,
    bos: 0,
    eos: 1,
    addBos: true,
    addEos: false,
  })
  assert.deepEqual([...special], [0, 1])
})

const unicode = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({ unit: "grapheme", maxLength: 30 }),
  fc.array(
    fc.constantFrom(
      " ",
      "  ",
      "\n",
      "\r\n",
      "\t",
      "\u0085",
      "\ufeff",
      "12",
      "'s",
      "God",
      "<s>",
      "🙂",
      "é",
      "½",
    ),
    { maxLength: 12 },
  ).map((words) => words.join("")),
)
const anyIds = fc.array(fc.nat(kjv.vocabSize - 1), { maxLength: 40 })

for (const pre of ["gpt-2", "smollm", "llama-bpe", "default"]) {
  test(`Tokenizer.decode() undoes encode() for any text, pre-tokenizer ${pre}`, () => {
    const self = withPatch({ pre })
    fc.assert(
      fc.property(unicode, (text) => {
        const ids = ok(Tokenizer.encode(self, text))
        assert.equal(ok(Tokenizer.decode(self, ids)), text)
        assert.ok(!stream(self, ids).join("").includes("\ufffd") || text.includes("\ufffd"))
      }),
      { numRuns: 300 },
    )
  })
}

test("Tokenizer.push() and flush() give what decode() gives, for any ids", () => {
  fc.assert(
    fc.property(anyIds, (ids) => {
      const whole = ok(Tokenizer.decode(kjv, ids))
      const parts = stream(kjv, ids)
      assert.equal(parts.join(""), whole)
      if (!whole.includes("\ufffd")) assert.ok(!parts.some((part) => part.includes("\ufffd")))
    }),
    { numRuns: 1000 },
  )
})

test("Tokenizer.push() holds at most 3 bytes and never half a character", () => {
  // Single bytes only, so that characters are cut everywhere.
  const bytes = fc.array(fc.integer({ min: 2, max: 257 }), { maxLength: 12 })
  fc.assert(
    fc.property(bytes, (ids) => {
      let state = Tokenizer.decoder
      let texts = ""
      for (const id of ids) {
        const [next, text] = ok(Tokenizer.push(kjv, state, id))
        assert.ok(next.held.length <= 3)
        state = next
        texts += text
      }
      assert.equal(texts + Tokenizer.flush(state), ok(Tokenizer.decode(kjv, ids)))
    }),
    { numRuns: 2000 },
  )
  const family = ok(Tokenizer.encode(kjv, "👩‍👩"))
  const shown = stream(kjv, family).filter((text) => text !== "")
  assert.deepEqual(shown, ["👩", "\u200d", "👩"])
})

test("Tokenizer.decode() agrees with the library's own byte-level decoder", () => {
  const reference = new Reference({
    added_tokens: [0, 1].map((id) => ({ id, content: tokens[id], special: true })),
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: {
      type: "BPE",
      merges: [],
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    },
  }, { clean_up_tokenization_spaces: false })
  fc.assert(fc.property(anyIds, (ids) => {
    assert.equal(ok(Tokenizer.decode(kjv, ids)), ids.length === 0 ? "" : reference.decode(ids))
  }))
})

test("Tokenizer.encode() reads special tokens written in the text, and adds them when asked", () => {
  const ids = (text: string, addSpecial: boolean) => ok(Tokenizer.encode(kjv, text, { addSpecial }))
  assert.deepEqual(ids("<s>a</s>", false), [0, 66, 1])
  assert.deepEqual(ids("<s>a</s>", true), [0, 0, 66, 1])
  assert.deepEqual(ids("", true), [0])
  const both = withPatch({ add_eos_token: true })
  assert.deepEqual(ok(Tokenizer.encode(both, "a", { addSpecial: true })), [0, 66, 1])
})

test("Tokenizer pre-tokenizers cut digits as their models do", () => {
  const cut = (pre: string | undefined, text: string) => {
    // A vocabulary in which digits, and digits with a space, merge without end.
    const digits = ["11", "1111", "Ġ1", "Ġ11", "ĠĠ"]
    const self = withPatch({
      pre,
      tokens: [...tokens.slice(0, 258), ...digits],
      merges: ["1 1", "11 11", "Ġ 1", "Ġ1 1", "Ġ Ġ"],
      token_type: undefined,
    })
    return ok(Tokenizer.encode(self, text)).map((id) => ok(Tokenizer.piece(self, id)))
  }
  assert.deepEqual(cut("gpt-2", "a 1111"), ["a", " ", "1111"])
  assert.deepEqual(cut("smollm", "a 1111"), ["a", " ", "1", "1", "1", "1"])
  assert.deepEqual(cut("llama-bpe", "a 1111"), ["a", " ", "11", "1", "1"])
  assert.deepEqual(cut("default", "a 1111"), ["a", " ", "11", "1", "1"])
  assert.deepEqual(cut(undefined, "a 1111"), cut("default", "a 1111"))
  assert.deepEqual(cut("gpt-2", "a   b"), ["a", "  ", " ", "b"])
  assert.deepEqual(cut("smollm", "a  1"), ["a", "  ", "1"])
})

test("Tokenizer.encode() takes a whole piece as a token where the model ignores merges", () => {
  const patch = { tokens: [...tokens, "zqzq"], token_type: undefined }
  const count = (pre: string) => ok(Tokenizer.encode(withPatch({ ...patch, pre }), "zqzq")).length
  assert.deepEqual([count("llama-bpe"), count("gpt-2")], [1, 4])
})

test("Tokenizer.piece() shows a token alone", () => {
  const piece = (id: number) => ok(Tokenizer.piece(kjv, id))
  assert.deepEqual([0, 260, 222, 200].map(piece), ["<s>", " the", " ", "\n"])
  assert.deepEqual([174, 255].map(piece), ["<0xF0>", "<0x9F>"])
})

test("Tokenizer.encode() of 100,000 characters is not quadratic", () => {
  const texts = ["a", "\n", " ", "<", "🙂", "<s>", "In the beginning God created 12 "]
  for (const unit of texts) {
    const text = unit.repeat(Math.ceil(100_000 / unit.length))
    assert.equal(ok(Tokenizer.decode(kjv, ok(Tokenizer.encode(kjv, text)))), text)
  }
})

test("Tokenizer.decode(), piece() and push() refuse ids outside the vocabulary", () => {
  for (const id of [-1, 2048, 0.5, NaN, Infinity]) {
    const text = `Cannot take ${id} as a token id: it must be a whole number from 0 to 2047`
    assert.equal(reason(Tokenizer.decode(kjv, [3, id])), text)
    assert.equal(reason(Tokenizer.piece(kjv, id)), text)
    assert.equal(reason(Tokenizer.push(kjv, Tokenizer.decoder, id)), text)
  }
})
