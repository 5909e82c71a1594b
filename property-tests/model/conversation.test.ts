/** Conversations over one cache, and windowed layers: the same as reading everything at once. @module */
import { Effect, Result, Stream } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import { type Gpu, Llama } from "../../mod.ts"
import { cpu, poisoned, property, speak, withModel } from "./llama.ts"

/** The embedded model with a template that writes what was answered so. */
const chatting = (answered: string) => (llama: Llama.Llama): Llama.Llama => {
  const content =
    `{% if m.role == "assistant" %}{{ ${answered} }}{% else %}{{ m.content }}{% endif %}`
  const source = `{{ bos_token }}{% for m in messages %}${content}\n{% endfor %}`
  return { ...llama, template: Result.succeed({ file: "test", offset: 0, source }) }
}
const plainly = chatting("m.content")
const rewriting = chatting("m.content | upper")

const window = 24

/** The same with a window on every layer but each second one. */
const windowed = (llama: Llama.Llama): Llama.Llama => {
  const { theta } = llama.config
  return {
    ...llama,
    config: { ...llama.config, window, windows: { every: 2, theta } },
  }
}

const greedy = { temperature: 0, ignoreEos: true }

const ask = (
  conversation: Llama.Conversation,
  text: string,
): Effect.Effect<Llama.Answered & { readonly ids: ReadonlyArray<number> }, Llama.SayError, Gpu> =>
  Effect.map(
    Stream.runCollect(Llama.say(conversation, text, { ...greedy, maxTokens: 20 })),
    (events) => {
      const [{ ids }] = events.filter((event) => event._tag === "Prompt") as [
        Llama.Event & { ids: ReadonlyArray<number> },
      ]
      const answered = events.at(-1)!
      assert.ok(answered._tag === "Answered")
      return { ...answered, ids }
    },
  )

test("Llama.generate() with windows says what a model says that reads all at once", () =>
  withModel(poisoned, (plain) => {
    const llama = windowed(plain)
    const cases = fc.record({
      prompt: fc.array(fc.nat({ max: llama.config.vocab - 1 }), { minLength: 1, maxLength: 70 }),
      chunk: fc.integer({ min: 1, max: 40 }),
    })
    return property(cases, ({ prompt, chunk }) =>
      Effect.gen(function* () {
        const options = { ...greedy, maxTokens: 45, topLogits: 3 }
        const { tokens, topLogits } = yield* speak(llama, prompt, { ...options, chunk })
        const all = [...prompt, ...tokens.slice(0, -1)]
        const once = yield* speak(llama, all, { ...options, maxTokens: 1, chunk: all.length })
        assert.equal(once.tokens[0], tokens.at(-1))
        assert.deepEqual(once.topLogits[0], topLogits.at(-1))
      }), 12)
  }))

test("Llama.generate() with windows keeps no more blocks than they need", () =>
  withModel(cpu, (plain) =>
    Effect.gen(function* () {
      const prompt = Array.from({ length: 200 }, (_, i) => i + 300)
      const options = { ...greedy, maxTokens: 60, chunk: 16 }
      const live = yield* Stream.runFold(
        Llama.generate(windowed(plain), prompt, options),
        () => 0,
        (_, event) => event.memory.blocksLive,
      )
      const everything = Math.ceil((200 + 60) / 16)
      assert.ok(live <= everything + Math.ceil(window / 16) + 1, `${live} blocks`)
    })))

/** Blocks that `tokens` successive ones lie in, at most, wherever they begin. */
const span = (tokens: number): number => Math.ceil((tokens - 1) / 16) + 1

test("Llama.generate() counts blocks by layer group: a window's stay few, the others grow", () =>
  withModel(cpu, (plain) =>
    Effect.gen(function* () {
      const prompt = Array.from({ length: 200 }, (_, i) => i + 300)
      const options = { ...greedy, maxTokens: 60, chunk: 16 }
      const events = yield* Stream.runCollect(Llama.generate(windowed(plain), prompt, options))
      for (const event of events) {
        const { groups, blocksLive, blocksShared, cacheBytes } = event.memory
        const [all, seen] = groups as [Llama.GroupMemory, Llama.GroupMemory]
        assert.deepEqual([all.layers, all.window], [[1, 3, 5], undefined])
        assert.deepEqual([seen.layers, seen.window], [[0, 2, 4], window])
        assert.equal(blocksLive, all.blocksLive + seen.blocksLive)
        assert.equal(blocksShared, all.blocksShared + seen.blocksShared)
        const bytes = groups.map(({ numBlocks, blockBytes }) => (numBlocks + 1) * blockBytes)
        assert.equal(cacheBytes, bytes[0]! + bytes[1]!)
        if (event._tag === "Prompt") { // after a step: what the next token sees beside itself
          assert.equal(all.blocksLive, Math.ceil(event.done / 16))
          assert.ok(seen.blocksLive <= span(window - 1), `${seen.blocksLive} blocks`)
        } else { // during one, which takes blocks 32 tokens ahead
          assert.ok(all.blocksLive >= Math.ceil(200 / 16))
          assert.ok(seen.blocksLive <= span(window - 1 + 32), `${seen.blocksLive} blocks`)
        }
      }
      const [all, seen] = events.at(-1)!.memory.groups as [Llama.GroupMemory, Llama.GroupMemory]
      assert.deepEqual([all.blocksLive, seen.blocksLive <= 3], [Math.ceil(259 / 16), true])
    })))

test("Llama.say() takes any chunk, and reads at once what the conversation has blocks for", () =>
  withModel(poisoned, (plain) =>
    Effect.scoped(Effect.gen(function* () {
      const llama = windowed(plainly(plain))
      const question = "And he said unto them, Go ye into all the world. ".repeat(20)
      const texts: Array<string> = []
      for (const own of [{ chunk: undefined }, { chunk: 300 }]) {
        for (const chunk of [64, 200]) {
          const start = yield* Llama.converse(llama, {
            contextTokens: 448,
            ...(own.chunk !== undefined && own),
          })
          const options = { ...greedy, maxTokens: 4, chunk }
          const events = yield* Stream.runCollect(Llama.say(start, question, options))
          const read = events.flatMap((event) => event._tag === "Prompt" ? [event.done] : [])
          const steps = read.slice(1).map((done, i) => done - read[i]!)
          const most = Math.min(chunk, own.chunk ?? 64, read.at(-1)!)
          assert.equal(Math.max(...steps), most)
          texts.push((events.at(-1) as Llama.Answered).text)
        }
      }
      assert.equal(new Set(texts).size, 1)
      const bad = yield* Effect.flip(Llama.converse(llama, { chunk: 0 }))
      assert.match(bad.message, /chunk/)
    }))))

/** By name: the model, and whether the second question finds the first still read. */
const makers: ReadonlyArray<
  readonly [name: string, make: (llama: Llama.Llama) => Llama.Llama, read: boolean]
> = [
  ["", plainly, true],
  [" with windows", (llama) => windowed(plainly(llama)), true],
  [" where a template rewrites answers", rewriting, true],
  // What comes after the first question is read anew, and by then the window has let go of what that must see.
  [" where it does so with windows", (llama) => windowed(rewriting(llama)), false],
]

for (const [name, made, read] of makers) {
  test(`Llama.say() reads only what is new, and any older conversation can go on${name}`, () =>
    withModel(poisoned, (plain) =>
      Effect.scoped(Effect.gen(function* () {
        const llama = made(plain)
        const fresh = (ids: ReadonlyArray<number>) =>
          Effect.map(speak(llama, ids, { ...greedy, maxTokens: 20 }), ({ text }) => text)
        const start = yield* Llama.converse(llama, { contextTokens: 256 })
        const first = yield* ask(start, "In the beginning was the word, and the word was with God")
        assert.equal(first.usage.cachedTokens, 0)
        assert.equal(first.text, yield* fresh(first.ids))
        const second = yield* ask(first.conversation, "And he said unto them")
        assert.equal(second.usage.cachedTokens >= first.ids.length, read)
        assert.equal(second.usage.promptTokens, second.ids.length)
        assert.equal(second.text, yield* fresh(second.ids))
        const third = yield* ask(second.conversation, "Then went he out of the city")
        assert.equal(third.text, yield* fresh(third.ids))
        const other = yield* ask(first.conversation, "And she answered, saying")
        assert.equal(other.text, yield* fresh(other.ids))
        const again = yield* ask(second.conversation, "Then went he out of the city")
        assert.equal(again.text, third.text)
        const anew = yield* ask(start, "In the beginning was the word, and the word was with God")
        assert.equal(anew.text, first.text)
      }))))
}
