/** One answer to a list of messages. @module */
import { Effect, Fiber, Result, Stream } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Gpu, Llama, Tokenizer } from "../../mod.ts"
import { everywhere } from "../device/everywhere.ts"
import { cpu, poisoned, withModel } from "./llama.ts"

const source = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"

/** The embedded model, which has no template, with one. */
const chatting = (llama: Llama): Llama => ({
  ...llama,
  template: Result.succeed({ file: "test", offset: 0, source }),
})

const messages = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "In the beginning" },
  { role: "assistant", content: "was the word." },
  { role: "user", content: "And then?" },
] as const
const greedy = { temperature: 0, maxTokens: 12, ignoreEos: true }

test("Llama.chat() answers what a conversation answers, and its usage counts", () =>
  withModel(poisoned, (plain) =>
    Effect.scoped(Effect.gen(function* () {
      const llama = chatting(plain)
      const events = yield* Stream.runCollect(Llama.chat(llama, messages, greedy))
      const last = events.at(-1)!
      assert.ok(last._tag === "Answered")
      const rendered = messages.map(({ role, content }) => `${role}: ${content}\n`).join("")
      const ids = yield* Effect.fromResult(
        Tokenizer.encode(llama.tokenizer, rendered, { addSpecial: true }),
      )
      const said = events.flatMap((event) => event._tag === "Token" ? [event.id] : [])
      assert.deepEqual(last.usage, {
        promptTokens: ids.length,
        cachedTokens: 0,
        completionTokens: 12,
      })
      assert.equal(said.length, 12)
      const texts = events.map((event) =>
        event._tag === "Prompt" || event._tag === "Answered" ? "" : event.text
      )
      assert.equal(last.text, texts.join(""))
      assert.equal(last.text, yield* Effect.fromResult(Tokenizer.decode(llama.tokenizer, said)))
      const generated = yield* Stream.runCollect(Llama.generate(llama, ids, greedy))
      assert.deepEqual(
        generated.flatMap((event) => event._tag === "Token" ? [event.id] : []),
        said,
      )
      const start = yield* Llama.converse(llama, { system: "Be brief.", contextTokens: 256 })
      const question = Llama.chat(llama, "Who?", { ...greedy, system: "Be brief." })
      const [one, other] = [
        yield* Stream.runCollect(question),
        yield* Stream.runCollect(Llama.say(start, "Who?", greedy)),
      ].map((all) => all.at(-1) as Llama.Answer)
      assert.deepEqual([one!.text, one!.usage], [other!.text, other!.usage])
    }))))

test("Llama.chat() never splits a character", () =>
  withModel(cpu, (plain) =>
    Effect.gen(function* () {
      const options = { temperature: 5, maxTokens: 150, ignoreEos: true, seed: 7 }
      const events = yield* Stream.runCollect(Llama.chat(chatting(plain), "é🙂", options))
      const texts = events.flatMap((event) => event._tag === "Token" ? [event.text] : [])
      const ids = events.flatMap((event) => event._tag === "Token" ? [event.id] : [])
      assert.ok(texts.some((text) => text === ""), "some bytes wait for the rest")
      const whole = yield* Effect.fromResult(Tokenizer.decode(plain.tokenizer, ids))
      assert.equal((events.at(-1) as Llama.Answer).text, whole)
      for (const text of texts) assert.ok(text.isWellFormed())
    })))

test("Llama.chat() refuses a model without a template, and no messages", () =>
  withModel(cpu, (plain) =>
    Effect.gen(function* () {
      const refusal = (llama: Llama, list: Parameters<typeof Llama.chat>[1]) =>
        Effect.flip(Stream.runDrain(Llama.chat(llama, list)))
      assert.equal((yield* refusal(plain, "Who?"))._tag, "UnsupportedModel")
      assert.equal((yield* refusal(chatting(plain), []))._tag, "InvalidArgument")
    })))

everywhere(
  "Llama.chat() interrupted anywhere leaves no live buffer",
  () =>
    Effect.gen(function* () {
      for (const heard of [1, 2, 5]) {
        yield* Effect.scoped(Effect.gen(function* () {
          const llama = chatting(yield* Llama.load())
          const before = yield* Gpu.live
          let events = 0
          const fiber = yield* Effect.forkChild(
            Stream.runForEach(
              Llama.chat(llama, messages, { temperature: 0, ignoreEos: true, chunk: 8 }),
              () => Effect.sync(() => events++),
            ),
          )
          while (events < heard) yield* Effect.sleep(1)
          yield* Fiber.interrupt(fiber)
          assert.deepEqual(yield* Gpu.live, before)
        }))
        assert.equal((yield* Gpu.live).buffers, 0)
      }
    }),
)
