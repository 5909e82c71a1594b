/** A model speaks: what was recorded, the same again, and nothing left behind. @module */
import { Effect, Fiber, Stream } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import { Gpu, Llama, Tokenizer } from "../../mod.ts"
import { adapters } from "../adapters.ts"
import { model } from "../cases/model.ts"
import { cpu, poisoned, property, speak, withModel } from "./llama.ts"

const recorded = fileURLToPath(new URL("../golden/kjv-3m/model.json", import.meta.url))
const file: { readonly cases: ReadonlyArray<unknown> } = JSON.parse(readFileSync(recorded, "utf8"))

const modes = ["safetensors_f16", "gguf_f16", "gguf_q8_0", "gguf_q4_0"]

for (const { name, layer } of adapters) {
  // A software GPU is slow: there the tests take two prompts, and `golden` takes all.
  const prompts = name === "cpu" ? file.cases : file.cases.slice(0, 2)
  for (const mode of name === "cpu" ? modes : ["gguf_q8_0"]) {
    const agrees = `Llama agrees with a float64 pass of the weights, ${mode} (${name})`
    test(agrees, { timeout: 120_000 }, async () => {
      const checked = await Effect.runPromise(Effect.provide(
        model({ ...file, cases: prompts }, recorded, (one) => one === mode),
        layer,
      ))
      const compared = checked.filter((one) => one._tag === "Compared")
      assert.equal(compared.length, prompts.length + (mode === "gguf_f16" ? 1 : 0))
      assert.deepEqual(compared.flatMap((one) => one.differs), [])
      const largest = Math.max(...compared.map(({ error }) => error)).toExponential(1)
      console.log(`${agrees}: largest logit error ${largest}`)
    })
  }
}

const options = fc.record({
  temperature: fc.constantFrom(0, 0.5, 1.5, 8),
  topK: fc.constantFrom(0, 5),
  topP: fc.constantFrom(1, 0.9),
  minP: fc.constantFrom(0, 0.05),
  seed: fc.nat(2 ** 32 - 1),
  maxTokens: fc.integer({ min: 1, max: 12 }),
})

test("generate() says the same for the same seed, and its text is its tokens' text", {
  timeout: 60_000,
}, () =>
  withModel(cpu, (llama) =>
    property(
      fc.tuple(fc.constantFrom("In", "日本", "And God said"), options),
      ([prompt, options]) =>
        Effect.gen(function* () {
          const first = yield* speak(llama, prompt, options)
          assert.deepEqual(yield* speak(llama, prompt, options), first)
          const { tokens, stopped } = first
          assert.ok(stopped === "eos" || tokens.length === options.maxTokens)
          const prose = stopped === "eos" ? tokens.slice(0, -1) : tokens
          const text = yield* Effect.fromResult(Tokenizer.decode(llama.tokenizer, prose))
          assert.equal(first.text, text)
        }),
      10,
    )))

test(
  "generate() says something else for another seed",
  { timeout: 60_000 },
  () =>
    withModel(cpu, (llama) =>
      Effect.gen(function* () {
        const said = yield* Effect.forEach(
          [1, 2, 3, 4],
          (seed) => speak(llama, "And", { seed, temperature: 1, maxTokens: 8 }),
        )
        assert.equal(new Set(said.map(({ text }) => text)).size, 4)
      })),
)

test("generate() ends at the model's end token unless it is to be ignored", {
  timeout: 60_000,
}, () =>
  withModel(cpu, (llama) =>
    Effect.gen(function* () {
      const last = "Philemon 1\n25 The grace of our Lord Jesus Christ be with your spirit. Amen.\n"
      const drawn = { temperature: 1, seed: 5, maxTokens: 4 } // this seed draws the end token
      const ended = yield* speak(llama, last, drawn)
      assert.deepEqual([ended.tokens, ended.text, ended.stopped], [[1], "", "eos"])
      const ignored = yield* speak(llama, last, { ...drawn, ignoreEos: true })
      assert.equal(ignored.tokens[0], 1)
      assert.deepEqual([ignored.tokens.length, ignored.stopped], [4, "length"])
    })))

test(
  "generate() says the same where unwritten memory is poisoned",
  { timeout: 60_000 },
  async () => {
    const said = (layer: typeof cpu) =>
      withModel(
        layer,
        (llama) =>
          Effect.forEach([0, 1.2], (temperature) =>
            speak(llama, "In the beginning", {
              temperature,
              seed: 7,
              maxTokens: 24,
              topLogits: 3,
              chunk: 4,
            })),
      )
    assert.deepEqual(await said(poisoned), await said(cpu))
  },
)

test(
  "generate() stops in the middle and gives back all it held",
  { timeout: 60_000 },
  () =>
    withModel(cpu, (llama) =>
      Effect.gen(function* () {
        const weights = yield* Gpu.live
        const long = Llama.generate(llama, "And", { maxTokens: 400, ignoreEos: true })
        const some = yield* Stream.runCollect(Stream.take(long, 6))
        assert.equal(some.length, 6)
        assert.deepEqual(yield* Gpu.live, weights)

        let heard = 0
        const listening = yield* Effect.forkChild(
          Stream.runForEach(long, () => Effect.sync(() => void heard++)),
        )
        while (heard < 6) yield* Effect.yieldNow
        assert.ok((yield* Gpu.live).buffers > weights.buffers)
        yield* Fiber.interrupt(listening)
        assert.ok(heard < 400)
        assert.deepEqual(yield* Gpu.live, weights)
      })),
)

test("generate() refuses what the context or the pool cannot hold, with numbers", {
  timeout: 60_000,
}, () =>
  withModel(cpu, (llama) =>
    Effect.gen(function* () {
      const refused = (tokens: number, options: Llama.GenerateOptions) =>
        Effect.map(
          Effect.flip(speak(llama, new Array<number>(tokens).fill(42), options)),
          ({ _tag, message }) => `${_tag}: ${message}`,
        )
      const weights = yield* Gpu.live
      assert.equal(
        yield* refused(512, {}),
        "ContextTooLong: Cannot read a text of 512 tokens: the model's context is 512 tokens, " +
          "and at least one must stay free for the answer; shorten the text",
      )
      assert.equal(
        yield* refused(20, { cacheBlocks: 1, maxTokens: 13 }),
        "OutOfBlocks: Cannot place rows as they need 2 more blocks of layer group 0: " +
          "1 free of 1; close a lease, keep fewer values or make a larger arena",
      )
      assert.deepEqual(yield* Gpu.live, weights)
      const full = yield* speak(llama, new Array<number>(510).fill(42), { temperature: 0 })
      assert.deepEqual([full.tokens.length, full.stopped], [2, "length"])
      // 20 tokens and 12 of the answer, the last of which is never read, fill two blocks.
      const fits = { cacheBlocks: 2, maxTokens: 13, ignoreEos: true }
      assert.equal((yield* speak(llama, new Array<number>(20).fill(42), fits)).tokens.length, 13)
    })))

test(
  "generate() names the option that it cannot take",
  { timeout: 60_000 },
  () =>
    withModel(cpu, (llama) =>
      Effect.gen(function* () {
        const wrong: ReadonlyArray<Llama.GenerateOptions> = [
          { temperature: -1 },
          { temperature: NaN },
          { topK: 1.5 },
          { topP: 0 },
          { minP: 2 },
          { seed: -1 },
          { maxTokens: 0 },
          { cacheBlocks: 0 },
          { chunk: 0 },
          { topLogits: -1 },
        ]
        for (const options of wrong) {
          const { message } = yield* Effect.flip(speak(llama, "And", options))
          const [[name, value]] = Object.entries(options) as [[string, number]]
          assert.ok(message.startsWith(`Cannot take ${value} as ${name}: it must be `), message)
        }
        const { message } = yield* Effect.flip(speak(llama, [42, 2048], {}))
        assert.equal(
          message,
          "Cannot take 2048 as a token id: it must be a whole number from 0 to 2047",
        )
      })),
)

test(
  "score() gives two numbers a token, and refuses what it cannot score",
  { timeout: 60_000 },
  () =>
    withModel(cpu, (llama) =>
      Effect.gen(function* () {
        const refused = (ids: ReadonlyArray<number>) =>
          Effect.map(Effect.flip(Llama.score(llama, ids)), ({ message }) => message)
        assert.equal(
          yield* refused([42]),
          "Cannot take 1 as number of tokens: " +
            "it must be at least two tokens, as the first has nothing before it",
        )
        assert.match(yield* refused([0, 9999]), /^Cannot take 9999 as a token id/)
        assert.match(yield* refused(new Array<number>(514).fill(42)), /^Cannot read a text of 514 /)
        const { nll, logsumexp, meanNll } = yield* Llama.score(llama, [0, 42, 79])
        assert.deepEqual([nll.length, logsumexp.length], [2, 2])
        assert.equal(meanNll, (nll[0]! + nll[1]!) / 2)
      })),
)
