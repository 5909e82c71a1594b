/** What the fuzzers found, each at its smallest. @module */
import { Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import process from "node:process"
import * as Chat from "../../lib/model/Chat.ts"
import * as Config from "../../lib/model/Config.ts"
import * as Gguf from "../../lib/model/Gguf.ts"
import { limits } from "../../lib/model/json/limits.ts"
import { type Document, type Json, parse } from "../../lib/model/json/parse.ts"
import { cutter } from "../../lib/model/tokenizer/cut.ts"
import * as Tokenizer from "../../lib/model/Tokenizer.ts"
import { notRun as run, readConfig, readVocabulary, type Said } from "../model/folder.ts"
import { gemma3Tokenizer } from "../model/tiny.vocabularies.ts"
import { ok, patched, reason, tokens, withPatch } from "../model/vocabulary.ts"
import { array, entry, file, header, types, u8 } from "../model/writer.ts"
import { guarded } from "./guard.ts"
import { random } from "./random.ts"

const json = (text: string): Result.Result<Document, { readonly message: string }> =>
  parse("x.json", new TextEncoder().encode(text))

test("Gguf.parse() reads a bool[] as the bytes it is: booleans took eight times the file", () => {
  const bytes = file([header(0, 1), entry("k", types.array, array(types.bool, u8(1), u8(0)))])
  const gguf = ok(Gguf.parse("x.gguf", bytes))
  assert.deepEqual(gguf.metadata.get("k")?.data, Uint8Array.of(1, 0))
  assert.match(reason(Gguf.numbers(gguf, "k", { min: 0, max: 1 })), /is 2 elements of bool\[\]/)
})

test("parse() of JSON makes one empty object and one empty array, however many a file has", () => {
  const { keys } = ok(json('{"a":[{},{},[],[]]}'))
  const [first, second, third, fourth] = keys.get("a") as ReadonlyArray<Json> // it was written so
  assert.equal(first, second)
  assert.equal(third, fourth)
  assert.deepEqual([first, third], [new Map(), []])
})

test("parse() of JSON bounds what takes more memory than letters", () => {
  const many = (part: string, count: number) => `{"a":[${`${part},`.repeat(count)}0]}`
  assert.match(reason(json(many('{"":0}', limits.objects))), /more objects than limits\.objects/)
  assert.match(reason(json(many("[0]", limits.arrays))), /more arrays than limits\.arrays/)
  assert.match(reason(json(many("0", limits.values))), /more values than limits\.values/)
  const members = Array.from({ length: limits.members + 1 }, (_, i) => `"${i}":0`)
  assert.match(reason(json(`{${members.join()}}`)), /more members than limits\.members/)
})

/** The longest token at each place, from the left, by looking for each of them. */
const naive = (known: ReadonlyArray<readonly [number, string]>, text: string) => {
  const parts: Array<number | string> = []
  let start = 0
  for (let at = 0; at < text.length;) {
    const here = known.filter(([, token]) => text.startsWith(token, at))
    const longest = Math.max(...here.map(([, token]) => token.length))
    const found = here.findLast(([, token]) => token.length === longest)
    if (found === undefined) at++
    else {
      if (at > start) parts.push(text.slice(start, at))
      parts.push(found[0])
      at = start = at + longest
    }
  }
  return start < text.length ? [...parts, text.slice(start)] : parts
}

test("cutter() finds the longest token at each place, from the left", () => {
  for (let seed = 0; seed < 3000; seed++) {
    const { below, some } = random(seed)
    const word = (most: number) => Array.from({ length: 1 + below(most) }, () => "abc"[below(3)])
    const known = some(6, (id) => [id, word(5).join("")] as const)
    const text = word(30).join("")
    assert.deepEqual(cutter(known)(text), naive(known, text), `${seed}`)
  }
})

test("cutter() is linear in a text that nearly has a long token everywhere", () => {
  const cut = cutter([[0, `${"a".repeat(1023)}b`], [1, `b${"a".repeat(1023)}`]])
  const start = performance.now()
  assert.deepEqual(cut("a".repeat(2 ** 18)), ["a".repeat(2 ** 18)])
  assert.ok(performance.now() - start < 2000)
})

test("Tokenizer.encode() names a letter without a token with nothing that a terminal would obey", () => {
  const self = withPatch({ tokens: tokens.map((token) => token === "Â" ? "none" : token) })
  assert.match(reason(Tokenizer.encode(self, "a\x9b")), /^Cannot take "\\u\{9b\}" as text/)
})

test("Chat.render() names roles with nothing that a terminal would obey", () => {
  const source = "{{ raise_exception('no') }}"
  const role = "\x1b[2J" + "x".repeat(999)
  const rendered = Chat.render(
    { file: "x.gguf", offset: 0, source },
    [{ role: role as "user", content: "" }, { role: "user", content: "" }],
    { addGenerationPrompt: false, bosToken: "", eosToken: "" },
  )
  assert.equal(
    reason(rendered),
    `Cannot take "\\u001b[2J${"x".repeat(60)}…", user as the messages of a chat: it must be what ` +
      'the model\'s template takes: "no"',
  )
})

test("Chat.render() lets a long message be split", () => {
  const source = "{% for p in messages[0].content.split('x') %}{{ p }}{% endfor %}"
  const content = "word ".repeat(100_000)
  const options = { addGenerationPrompt: false, bosToken: "", eosToken: "" }
  const template = { file: "x.gguf", offset: 0, source }
  assert.equal(ok(Chat.render(template, [{ role: "user", content }], options)), content)
})

const vocabulary = (said: Said) =>
  reason(readVocabulary(said)).replace(/ at byte \d+/, "").replace("Cannot ", "")

test("Vocabulary of a tokenizer.json of 3 tokens is none of a million", () => {
  assert.equal(
    vocabulary({ size: 2 ** 20, model: { vocab: { a: 0, b: 1, ab: 2 }, merges: [] } }),
    'read the model tokenizer.json: "model.vocab" has 3 tokens, and 2 are added: too few for a vocabulary of 1048576',
  )
})

test("Config refuses heads of a million elements, of which scaled frequencies would take half as many", () => {
  assert.match(reason(readConfig({ head_dim: 2 ** 20 })), /"head_dim" is 1048576: .* 1 to 4096/)
  const wide = { hidden_size: 2 ** 20, num_attention_heads: 1, num_key_value_heads: 1 }
  const text = reason(readConfig({ ...wide, head_dim: null }))
  assert.equal(
    text,
    "Cannot run a model whose head dimension is 1048576: at most 4096 is supported",
  )
  const from = (entries: Readonly<Record<string, number>>) => {
    const all = Object.entries(entries).map(([key, data]) =>
      [`llama.${key}`, { type: "u32", offset: 7, data }] as const
    )
    const architecture = { type: "string", offset: 7, data: "llama" } as const
    const metadata = new Map([
      ...patched({}).metadata,
      ...all,
      ["general.architecture", architecture] as const,
    ])
    const gguf = {
      file: "x.gguf",
      version: 3,
      alignment: 32,
      metadata,
      tensors: new Map(),
    } as const
    return reason(Config.fromGguf(gguf, 300))
  }
  assert.match(from({ "attention.key_length": 2 ** 20 }), /is 1048576: .* from 1 to 4096/)
  const heads = { "attention.head_count": 1, "attention.head_count_kv": 1 }
  const metadata = from({ ...heads, embedding_length: 2 ** 20 })
  assert.match(metadata, /head dimension is 1048576|key_length/)
})

test("Tokenizer of a tokenizer.json refuses what does not stand around a text once", () => {
  const single = (...pieces: ReadonlyArray<string>) => ({
    tokenizer: {
      post_processor: {
        type: "TemplateProcessing",
        single: pieces.map((id) =>
          id === "<s>" ? { SpecialToken: { id, type_id: 0 } } : { Sequence: { id, type_id: 0 } }
        ),
      },
    },
  })
  assert.equal(vocabulary(single("<s>", "B")), run("post-processor", "B", '"A", once,'))
  assert.equal(vocabulary(single("A", "A")), run("post-processor", "A", '"A", once,'))
  assert.equal(
    vocabulary(single("<s>")),
    run("post-processor", "single", "one with the text in it"),
  )
})

const letters = (patch: Said["tokenizer"]): Said => ({
  tokenizer: { ...gemma3Tokenizer, ...patch },
  tokenizerConfig: { bos_token: "<bos>", eos_token: "<eos>" },
  size: 300,
})

test("Tokenizer of letters refuses ▁▁ that is found after spaces are written so", () => {
  const past = { id: 1_000_000, content: "<image_soft_token>" }
  const added_tokens = [{ id: 5, content: "▁▁", special: false, normalized: true }, past]
  assert.match(vocabulary(letters({ added_tokens })), / is "normalized": none of it is supported$/)
})

test("Tokenizer of letters refuses to split at all but spaces", () => {
  const split = { type: "Split", pattern: { String: " " }, behavior: "Removed" }
  assert.equal(vocabulary(letters({ pre_tokenizer: split })), "no failure")
  assert.equal(
    vocabulary(letters({ pre_tokenizer: { ...split, invert: true } })),
    run("Split beside byte_fallback", "invert", "none of it"),
  )
})

test("Tokenizer of a tokenizer.json leaves a token past the embeddings to be text", () => {
  const past = { id: 1_000_000, content: "<image_soft_token>" }
  const added_tokens = [past, { id: 300, content: "im_end", special: true }]
  const vocabulary = ok(readVocabulary(letters({ added_tokens })))
  const ids = ok(Tokenizer.encode(Tokenizer.fromVocabulary(vocabulary), "<|im_end|>"))
  assert.ok(ids.every((id) => id < 300), `${ids}`)
})

test("guarded() gives a large file the time that reading all of it takes", () => {
  const used = () => process.cpuUsage().user / 1000
  const work = () => {
    const end = used() + 80
    while (used() < end);
    return Result.succeed(1)
  }
  const { SLACK } = process.env
  process.env["SLACK"] = "1"
  try {
    assert.throws(() => guarded(1000, work), /\d ms for 1000 bytes/)
    assert.ok(Result.isSuccess(guarded(2 ** 22, work)))
  } finally {
    if (SLACK === undefined) delete process.env["SLACK"]
    else process.env["SLACK"] = SLACK
  }
})

test("Vocabulary of a tokenizer.json whose model says no type is one of merges", () => {
  const { type: _, ...model } = gemma3Tokenizer.model as Readonly<Record<string, Json>> // our own text
  const past = [{ id: 1_000_000, content: "<image_soft_token>" }]
  const [typed, untyped] = [letters({ added_tokens: past }), letters({ added_tokens: past, model })]
  assert.deepEqual(ok(readVocabulary(untyped)).merges, ok(readVocabulary(typed)).merges)
})
