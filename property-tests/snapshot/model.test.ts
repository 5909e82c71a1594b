/** A model goes on from what was restored as it would have gone on from what was saved. @module */
import { Effect, Option, Result, Stream } from "effect"
import assert from "node:assert/strict"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { after, test } from "node:test"
import {
  Arena,
  BadSnapshot,
  Gpu,
  type KvCache,
  LayoutMismatch,
  Lease,
  Llama,
  Program,
  Snapshot,
  Tensor,
} from "../../mod.ts"
import { fetched, fetchedFile } from "../cases/fetched.ts"
import { cpu, poisoned, withModel } from "../model/llama.ts"

const place = mkdtempSync(join(tmpdir(), "kvasir-snapshot-"))
after(() => rmSync(place, { recursive: true }))

/** The same with a window on every layer but each second one. */
const windowed = (llama: Llama): Llama => {
  const { theta } = llama.config
  return { ...llama, config: { ...llama.config, window: 24, windows: { every: 2, theta } } }
}

/** Greedy tokens after a cache, of which `token` is the first that it has not read. */
const greedy = (llama: Llama, cache: KvCache, token: number, count: number) =>
  Effect.gen(function* () {
    const said: Array<number> = []
    let [at, next] = [cache, token]
    for (let i = 0; i < count; i++) {
      yield* Effect.scoped(Effect.gen(function* () {
        const body = ({ last }: Llama.Read) => Effect.flatMap(last, Tensor.argmax)
        const { caches, value } = yield* Program.run(Llama.step(llama, [at], [[next]], body))
        at = caches[0]!
        next = (yield* Gpu.read(value))[0]!
        said.push(next)
      }))
    }
    return said
  })

const tokensOf = (llama: Llama, n: number): ReadonlyArray<number> =>
  Array.from({ length: n }, (_, i) => 300 + i * 37 % (llama.config.vocab - 300))

/** Reads so many tokens, saves, restores elsewhere, and lets both go on. */
const goesOn = (llama: Llama, name: string, n: number, dtype: "f32" | "f16" | "bf16" | "int8") =>
  Effect.scoped(Effect.gen(function* () {
    const arenaOf = (blockSize: number) =>
      Effect.gen(function* () {
        const layout = yield* Effect.fromResult(Llama.layout(llama, { blockSize, dtype }))
        const blocks = Math.ceil((n + 20) / blockSize)
        return yield* Arena.make(layout, Llama.blocksOf(layout, blocks, 64))
      })
    const [from, to] = [yield* arenaOf(16), yield* arenaOf(7)]
    const tokens = tokensOf(llama, n)
    const said = yield* Lease.scoped(from)(Effect.gen(function* () {
      const cache = yield* Llama.rebuild(llama, from, tokens)
      yield* Llama.saveHistory(llama, place, name, { cache, tokens })
      return yield* greedy(llama, cache, 301, 16)
    }))
    yield* Lease.scoped(to)(Effect.gen(function* () {
      const history = yield* Llama.restoreHistory(llama, to, place, name)
      assert.deepEqual(history.tokens, tokens)
      assert.deepEqual(yield* greedy(llama, history.cache, 301, 16), said)
    }))
    return new Set(said).size
  }))

test("Llama.restoreHistory() of 400 tokens goes on with the tokens of the original", () =>
  withModel(poisoned, (llama) =>
    Effect.gen(function* () {
      assert.ok((yield* goesOn(llama, "f32", 400, "f32")) > 3)
      yield* goesOn(llama, "int8", 200, "int8")
      yield* goesOn(llama, "f16", 130, "f16")
      yield* goesOn(windowed(llama), "windows", 200, "bf16")
    })))

const smol = fetchedFile(fetched["smollm2"]!.file)
const skip = Result.isFailure(smol)
  ? smol.failure
  : process.env["SLOW"] === undefined && "it takes two minutes; SLOW=1 runs it"

test("Llama.restoreHistory() of 1,000 tokens of SmolLM2 goes on with the tokens of the original", {
  skip,
  timeout: 240_000,
}, () =>
  Effect.runPromise(Effect.provide(
    Effect.scoped(Effect.gen(function* () {
      const llama = yield* Llama.load(Result.getOrThrow(smol))
      yield* goesOn(llama, "smol", 1000, "f32")
    })),
    cpu,
  )))

const plainly = (llama: Llama): Llama => {
  const source = "{{ bos_token }}{% for m in messages %}{{ m.content }}\n{% endfor %}"
  return { ...llama, template: Result.succeed({ file: "test", offset: 0, source }) }
}

for (
  const [name, made] of [["", plainly], [
    " with windows",
    (l: Llama) => windowed(plainly(l)),
  ]] as const
) {
  test(`Llama.restoreConversation() goes on where it was, and reads nothing again${name}`, () =>
    withModel(cpu, (plain) =>
      Effect.scoped(Effect.gen(function* () {
        const llama = made(plain)
        const file = `conversation${name.length}`
        const ask = (conversation: Llama.Conversation, text: string) =>
          Effect.map(
            Stream.runLast(
              Llama.say(conversation, text, { temperature: 0, ignoreEos: true, maxTokens: 20 }),
            ),
            (last) => Option.getOrThrow(last) as Llama.Answered,
          )
        const start = yield* Llama.converse(llama, { contextTokens: 256, system: "Be brief" })
        const first = yield* ask(start, "In the beginning was the word")
        yield* Llama.saveConversation(first.conversation, place, file)
        const options = { contextTokens: 320 }
        const restored = yield* Llama.restoreConversation(llama, place, file, options)
        assert.deepEqual(restored.messages, first.conversation.messages)
        assert.equal(restored.system, "Be brief")
        const [a, b] = [
          yield* ask(first.conversation, "And he said unto them"),
          yield* ask(restored, "And he said unto them"),
        ]
        assert.deepEqual([b.text, b.usage], [a.text, a.usage])
        assert.ok(b.usage.cachedTokens >= first.usage.promptTokens)
      }))))
}

test("Llama.restoreHistory() refuses snapshots of other models, of no tokens and of no conversation", () =>
  withModel(cpu, (llama) =>
    Effect.scoped(Effect.gen(function* () {
      const layout = yield* Effect.fromResult(Llama.layout(llama))
      const arena = yield* Arena.make(layout, 8)
      const tokens = tokensOf(llama, 20)
      yield* Lease.scoped(arena)(Effect.gen(function* () {
        const cache = yield* Llama.rebuild(llama, arena, tokens)
        yield* Llama.saveHistory(llama, place, "mine", { cache, tokens }, { salt: "a tuning" })
        const other = yield* Effect.flip(Llama.restoreHistory(llama, arena, place, "mine"))
        assert.ok(other instanceof LayoutMismatch && other.field === "model")
        const salted = { salt: "a tuning" }
        yield* Llama.restoreHistory(llama, arena, place, "mine", salted)
        const none = yield* Effect.flip(Llama.restoreConversation(llama, place, "mine", salted))
        assert.ok(none instanceof BadSnapshot)
        assert.match(
          none.message,
          /mine\.kvcache at byte 0: it is of a cache, and of no conversation$/,
        )
        yield* Snapshot.save(place, "mute", cache, { model: yield* Llama.fingerprint(llama) })
        const mute = yield* Effect.flip(Llama.restoreHistory(llama, arena, place, "mute"))
        assert.match(mute.message, /it does not say which tokens it is of$/)
      }))
    }))))

test("Llama.fingerprint() tells models apart by their numbers and not by their names", () =>
  withModel(cpu, (llama) =>
    Effect.gen(function* () {
      const { config, weights } = llama
      const same = yield* Llama.fingerprint(llama)
      assert.match(same, /^[0-9a-f]{64}$/)
      assert.equal(yield* Llama.fingerprint({ ...llama, config: { ...config, name: "x" } }), same)
      const others = [
        { ...llama, config: { ...config, theta: 7 } },
        { ...llama, config: { ...config, eps: 1e-3 } },
        windowed(llama),
        { ...llama, weights: { ...weights, norm: weights.layers[0]!.attn_norm } },
        { ...llama, weights: { ...weights, layers: weights.layers.slice(1) } },
      ]
      const found = yield* Effect.forEach(others, (other) => Llama.fingerprint(other))
      found.push(yield* Llama.fingerprint(llama, { salt: "x" }))
      assert.equal(new Set([...found, same]).size, others.length + 2)
    })))
