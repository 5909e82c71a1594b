/** A model goes on from what was restored as it would have gone on from what was saved. @module */
import { Effect, Result } from "effect"
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
  Source,
  Tensor,
} from "../../mod.ts"
import { adapters } from "../adapters.ts"
import { fetched, fetchedFile } from "../cases/fetched.ts"
import { cpu, poisoned, windowed, withModel } from "../model/llama.ts"
import { ggufOf } from "../model/tiny.files.ts"
import { tinyGemma3 } from "../model/tiny.ts"

const place = mkdtempSync(join(tmpdir(), "kvasir-snapshot-"))
after(() => rmSync(place, { recursive: true }))

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
const goesOn = (
  llama: Llama,
  name: string,
  n: number,
  dtype: "f32" | "f16" | "bf16" | "int8",
  ids = (n: number): ReadonlyArray<number> => tokensOf(llama, n),
) =>
  Effect.scoped(Effect.gen(function* () {
    const arenaOf = (blockSize: number) =>
      Effect.gen(function* () {
        const layout = yield* Effect.fromResult(Llama.layout(llama, { blockSize, dtype }))
        const blocks = Math.ceil((n + 20) / blockSize)
        return yield* Arena.make(layout, Llama.blocksOf(layout, blocks, 64))
      })
    const [from, to] = [yield* arenaOf(16), yield* arenaOf(7)]
    const tokens = ids(n)
    const said = yield* Lease.scoped(from)(Effect.gen(function* () {
      const cache = yield* Llama.rebuild(llama, from, tokens)
      yield* Llama.saveHistory(llama, place, name, { cache, tokens })
      return yield* greedy(llama, cache, tokens[0]!, 16)
    }))
    yield* Lease.scoped(to)(Effect.gen(function* () {
      const history = yield* Llama.restoreHistory(llama, to, place, name)
      assert.deepEqual(history.tokens, tokens)
      const windows = to.layout.groups.map(({ window }) => window !== undefined)
      assert.deepEqual(history.cache.starts.map((start) => start > 0), windows)
      assert.deepEqual(yield* greedy(llama, history.cache, tokens[0]!, 16), said)
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
      yield* goesOn(windowed(llama), "windows-of-int8", 200, "int8")
    })))

test("Llama.restoreHistory() of a model whose layers have windows goes on with the tokens of the original", () =>
  Effect.runPromise(Effect.provide(
    Effect.scoped(Effect.gen(function* () {
      const llama = yield* Llama.fromSource(Source.bytes("tiny.gguf", ggufOf(tinyGemma3)))
      assert.notEqual(llama.config.windows, undefined)
      const ids = (n: number) => Array.from({ length: n }, (_, i) => 3 + i * 37 % 290)
      for (const dtype of ["f32", "int8"] as const) {
        yield* goesOn(llama, `gemma-${dtype}`, 100, dtype, ids)
      }
    })),
    poisoned,
  )))

for (const { name, layer } of adapters.slice(1)) {
  test(`Llama.restoreHistory() on ${name} goes on from what the CPU saved with the tokens of the CPU`, async () => {
    const n = 150
    const onDevice = (llama: Llama, body: "saves" | "restores") =>
      Effect.scoped(Effect.gen(function* () {
        const layout = yield* Effect.fromResult(Llama.layout(llama))
        const arena = yield* Arena.make(layout, 16)
        const tokens = tokensOf(llama, n)
        return yield* Lease.scoped(arena)(Effect.gen(function* () {
          if (body === "restores") {
            const history = yield* Llama.restoreHistory(llama, arena, place, `for-${name}`)
            assert.deepEqual(history.tokens, tokens)
            return yield* greedy(llama, history.cache, 301, 16)
          }
          const cache = yield* Llama.rebuild(llama, arena, tokens)
          yield* Llama.saveHistory(llama, place, `for-${name}`, { cache, tokens })
          return yield* greedy(llama, cache, 301, 16)
        }))
      }))
    const said = await withModel(cpu, (llama) => onDevice(llama, "saves"))
    assert.deepEqual(await withModel(layer, (llama) => onDevice(llama, "restores")), said)
    assert.ok(new Set(said).size > 3)
  })
}

const smol = fetchedFile(fetched["smollm2"]!.file)
const isAsked = process.env["SLOW"] !== undefined
const skip = Result.isFailure(smol) ? smol.failure : !isAsked &&
  "it takes two minutes of a model that fetch-model brings, and runs where SLOW is set"

test("Llama.restoreHistory() of 1,000 tokens of SmolLM2 goes on with the tokens of the original", {
  skip,
  timeout: 900_000,
}, () =>
  Effect.runPromise(Effect.provide(
    Effect.scoped(Effect.gen(function* () {
      const llama = yield* Llama.load(Result.getOrThrow(smol))
      yield* goesOn(llama, "smol", 1000, "f32")
    })),
    cpu,
  )))

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
