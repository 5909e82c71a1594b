/** Chat: conversations as text, and templates that mean harm. @module */
import { Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import * as Chat from "../../lib/model/Chat.ts"
import { greedy, rude, smollm2, strict, unknown } from "./chat.templates.ts"
import { kjv, ok, patched, read, reason, withPatch } from "./vocabulary.ts"

const plain = { addGenerationPrompt: true, bosToken: "<bos>", eosToken: "<eos>" }
const user = (content: string): Chat.Message => ({ role: "user", content })
const assistant = (content: string): Chat.Message => ({ role: "assistant", content })
const system = (content: string): Chat.Message => ({ role: "system", content })
const from = (source: string): Chat.Template => ({ file: "x.gguf", offset: 7, source })

interface Case {
  readonly messages?: ReadonlyArray<Chat.Message>
  readonly add_generation_prompt: boolean
  readonly text: string
}
const golden: { readonly cases: ReadonlyArray<Case> } = JSON.parse(
  new TextDecoder().decode(read("property-tests/golden/smollm2/smollm2_tokenizer.json")),
)

test("Chat.render() gives the recorded texts of SmolLM2's conversations", () => {
  const chats = golden.cases.filter(({ messages }) => messages !== undefined)
  assert.equal(chats.length, 5)
  for (const { messages = [], add_generation_prompt: addGenerationPrompt, text } of chats) {
    const options = { ...plain, addGenerationPrompt }
    assert.equal(ok(Chat.render(from(smollm2), messages, options)), text)
    const [first, ...rest] = messages
    if (first?.role !== "system") continue
    assert.equal(
      ok(Chat.render(from(smollm2), rest, { ...options, system: first.content })),
      text,
    )
  }
})

test("Chat.render() runs loops, macros, namespaces, filters and methods of text", () => {
  const messages = [system(" Be brief. "), user(" Hi "), assistant("<think>so</think> Yes")]
  const turn = (role: string, text: string) => `<start_of_turn>${role}\n${text}<end_of_turn>\n`
  assert.equal(
    ok(Chat.render(from(strict), messages, plain)),
    `<bos>${turn("user", "Be brief.\n\nHi")}${turn("model", "Yes")}2<start_of_turn>model\n`,
  )
  assert.equal(
    ok(Chat.render(from(strict), [user("Hi")], { ...plain, addGenerationPrompt: false })),
    `<bos>${turn("user", "Hi")}1`,
  )
})

test("Chat.render() takes the first of an empty list for undefined", () => {
  const source = "{% set x = [] | first %}{{ x is defined }}{{ [] | last }}{{ nothing.at.all }}"
  assert.equal(ok(Chat.render(from(source), [user("Hi")], plain)), "false")
})

test("Chat.render() takes a thousand messages", () => {
  const messages = Array.from(
    { length: 1000 },
    (_, i) => (i % 2 === 0 ? user : assistant)("word ".repeat(100)),
  )
  for (const source of [smollm2, strict]) {
    assert.ok(ok(Chat.render(from(source), messages, plain)).length > 500_000)
  }
})

test("Chat.render() writes messages as they are, whatever is in them", () => {
  const source = from("{% for m in messages %}[{{ m.role }}|{{ m.content }}]{% endfor %}")
  const content = fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.constantFrom("{{ 1 }}", "{% for", "__proto__", "", "\n"),
  )
  fc.assert(fc.property(fc.array(content, { minLength: 1, maxLength: 5 }), (contents) => {
    const text = contents.map((content) => `[user|${content}]`).join("")
    assert.equal(ok(Chat.render(source, contents.map(user), plain)), text)
  }))
})

test("Chat.render() refuses messages with a reason, as InvalidArgument", () => {
  const says = (messages: ReadonlyArray<Chat.Message>, options = {}) => {
    const rendered = Chat.render(from(strict), messages, { ...plain, ...options })
    assert.equal(Result.isFailure(rendered) && rendered.failure._tag, "InvalidArgument")
    return reason(rendered)
  }
  assert.equal(
    says([user("a"), user("b")]),
    "Cannot take user, user as the messages of a chat: it must be what the model's template " +
      'takes: "Roles must alternate user/assistant"',
  )
  assert.equal(
    says([]),
    "Cannot take none as the messages of a chat: it must be one message at least",
  )
  assert.equal(
    says([system("a"), user("b")], { system: "c" }),
    'Cannot take "c" as the system message: it must be absent, as the messages begin with one',
  )
})

// A second each on a core that is idle; tests share theirs.
const patience = 4_000

/** Enough of them that steps are not what ends first. */
const many = Array.from({ length: 1000 }, () => user("Hi"))

const ended = (source: string, messages: ReadonlyArray<Chat.Message> = [user("Hi")]) => {
  const start = performance.now()
  const rendered = Chat.render(from(source), messages, plain)
  const took = performance.now() - start
  assert.ok(took < patience, `${took} ms: ${source.slice(0, 99)}`)
  assert.ok(Result.isFailure(rendered), source.slice(0, 99))
  return rendered.failure
}

for (const [limit, templates] of Object.entries(greedy)) {
  test(`Chat.render() ends templates that ask for more than limits.${limit}`, {
    timeout: 60_000,
  }, () => {
    for (const [what, source] of Object.entries(templates)) {
      assert.match(ended(source).message, /asks for more than limits\.\w+, \d+$/)
      const { _tag, message } = ended(source, many)
      const most = Chat.limits[limit as keyof typeof Chat.limits] // keys of `greedy` are its keys
      const state = `"tokenizer.chat_template" asks for more than limits.${limit}, ${most}`
      assert.equal(message, `Cannot read the model x.gguf at byte 7: ${state}`, what)
      assert.equal(_tag, "BadModelFile")
    }
  })
}

test("Chat.render() refuses templates that look behind the values they are given", {
  timeout: 60_000,
}, () => {
  for (const [says, sources] of Object.entries(rude)) {
    for (const source of sources) {
      const { _tag, message } = ended(source)
      const state = `"tokenizer.chat_template" ${says}`
      assert.equal(message, `Cannot read the model x.gguf at byte 7: ${state}`, source.slice(0, 99))
      assert.equal(_tag, "BadModelFile")
    }
  }
})

test("Chat.render() fails with UnsupportedModel where the interpreter cannot go on", () => {
  for (const [says, source] of Object.entries(unknown)) {
    const { _tag, message } = ended(source)
    assert.equal(_tag, "UnsupportedModel")
    assert.equal(
      message,
      `Cannot run a model whose chat template is one that stops with ${JSON.stringify(says)}: ` +
        "what @huggingface/jinja runs is supported",
    )
  }
})

test("Chat.render() of any template fails with a type or gives a text, in time", () => {
  const part = fc.constantFrom(
    ..."{{ |}}|{% |%}|-|messages|m|.content|[|]|(|)|range|9999|**|~|+|'a'|for |in |if |else|endfor|endif|set |=| |is |not |loop|.|,|namespace|macro |endmacro|*"
      .split("|"),
  )
  const count = { given: 0, refused: 0 }
  fc.assert(
    fc.property(fc.array(part, { maxLength: 16 }), (parts) => {
      const rendered = Chat.render(from(parts.join("")), [user("Hi")], plain)
      if (Result.isSuccess(rendered)) count.given++
      else {
        count.refused++
        assert.match(rendered.failure._tag, /^(BadModelFile|UnsupportedModel|InvalidArgument)$/)
      }
    }),
    { numRuns: 2000 },
  )
  for (const [what, n] of Object.entries(count)) assert.ok(n > 50, `${what}: only ${n}`)
})

test("Chat.template() reads a file's template, or says what to do without one", () => {
  const gguf = patched({})
  assert.equal(
    reason(Chat.template(gguf)),
    'Cannot run a model whose chat template is missing: a file with "tokenizer.chat_template", ' +
      "as instruction-tuned models have, or a plain prompt is supported",
  )
  const key = "tokenizer.chat_template"
  const entry = (data: string | number) =>
    new Map([...gguf.metadata, [key, { type: "string", offset: 9, data }] as const])
  assert.deepEqual(ok(Chat.template({ file: "x.gguf", metadata: entry(smollm2) })), {
    file: "x.gguf",
    offset: 9,
    source: smollm2,
  })
  assert.equal(
    reason(Chat.template({ file: "x.gguf", metadata: entry(1) })),
    `Cannot read the model x.gguf at byte 9: "${key}" is 1: a string is needed`,
  )
})

test("Chat.encode() puts BOS first once, and no EOS", () => {
  assert.deepEqual(ok(Chat.encode(kjv, "a")), [0, 66])
  assert.deepEqual(ok(Chat.encode(kjv, "<s>a")), [0, 66])
  const ends = withPatch({ add_eos_token: true, add_bos_token: false })
  assert.deepEqual(ok(Chat.encode(ends, "a")), [66])
})
