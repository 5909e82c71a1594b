/**
 * What does the immutable paged cache cost a model? The embedded model read and spoken by Kvasir, against
 * `plain.ts`, the same arithmetic as one hand-written loop: tokens a second of both, by turns.
 *
 * - `prefill`: a prompt of one chunk read, and the next token drawn
 * - `generate`: `Llama.generate`, from the first token it says to the last; decode steps are captured once
 * - `step`: one `Llama.step` and one `Program.run` a token, every launch recorded anew
 *
 * @module
 */
import assert from "node:assert/strict"
import { Effect, Stream } from "effect"
import { Arena, Gguf, Gpu, KvCache, Lease, Llama, Program, Tensor } from "../mod.ts"
import { median, sides } from "./measure.ts"
import { plain } from "./plain.ts"
import type { Bench, Line } from "./report.ts"

const chunk = 64
const said = 48
const contexts = [64, 400]

/** Reads tokens after a cache and draws the most probable next one. */
const read = (llama: Llama, cache: KvCache, ids: ReadonlyArray<number>) =>
  Effect.scoped(Effect.gen(function* () {
    const next = yield* Program.run(
      Llama.step(llama, [cache], [ids], ({ last }) => Effect.flatMap(last, Tensor.argmax)),
    )
    return { cache: next.caches[0]!, id: (yield* Gpu.read(next.value))[0]! }
  }))

/** Says tokens after a cache, one step each. */
const step = (llama: Llama, from: KvCache, first: number) =>
  Effect.gen(function* () {
    const ids = [first]
    let cache = from
    while (ids.length < said) {
      const next = yield* read(llama, cache, [ids.at(-1)!])
      cache = next.cache
      ids.push(next.id)
    }
    return ids
  })

/** What `Llama.generate` says, and the milliseconds from its first token to its last. */
const generate = (llama: Llama, prompt: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const ids: Array<number> = []
    let [first, last] = [0, 0]
    const options = { maxTokens: said, temperature: 0, ignoreEos: true }
    yield* Stream.runForEach(Llama.generate(llama, prompt, options), (event) =>
      Effect.sync(() => {
        if (event._tag !== "Token") return
        last = performance.now()
        if (ids.length === 0) first = last
        ids.push(event.id)
      }))
    return { ids, ms: last - first }
  })

const program = Effect.gen(function* () {
  const source = yield* Llama.open()
  const llama = yield* Llama.fromSource(source)
  const { config } = llama
  const gguf = yield* Gguf.open(source)
  const bytes = new Map<string, Uint8Array<ArrayBuffer>>()
  for (const [name, info] of gguf.tensors) bytes.set(name, yield* Gguf.tensorBytes(source, info))
  const peer = plain(config, (name) => bytes.get(name)!, chunk)
  const alone = (context: number, first: number): ReadonlyArray<number> => {
    peer.truncate(context)
    const ids = [first]
    while (ids.length < said) ids.push(peer.read([ids.at(-1)!]))
    return ids
  }

  const arena = yield* Arena.make(yield* Effect.fromResult(Llama.layout(llama)), 64)
  const request = Lease.scoped(arena) // a lease of its own: its blocks are free again after each round
  const text = Array.from({ length: Math.max(...contexts) }, (_, i) => (i * 37 + 11) % config.vocab)
  const lines: Array<Line> = []
  const add = (name: string, context: number, tokens: number, ours: number, peer: number) =>
    lines.push({
      name: `decode.${name}`,
      value: 1000 * tokens / ours,
      unit: "tok/s",
      device: "cpu",
      params: { model: config.name, weights: "q8_0", context, tokens },
      peer: "plain loop",
      peerValue: 1000 * tokens / peer,
      ratio: peer / ours,
    })

  const empty = KvCache.empty(arena)
  const prompt = text.slice(0, chunk)
  const alonePrompt = () => (peer.truncate(0), peer.read(prompt))
  assert.equal((yield* request(read(llama, empty, prompt))).id, alonePrompt())
  const prefill = yield* sides({ warm: 5, count: 15 }, {
    ours: { run: request(read(llama, empty, prompt)) },
    peer: { run: Effect.sync(alonePrompt) },
  })
  add("prefill", 0, chunk, prefill.ours, prefill.peer)

  for (const context of contexts) {
    const lease = yield* Lease.make(arena)
    peer.truncate(0)
    let [cache, first] = [empty, 0]
    for (let at = 0; at < context; at += chunk) {
      const ids = text.slice(at, Math.min(at + chunk, context))
      const next = yield* Lease.under(lease)(read(llama, cache, ids))
      cache = next.cache
      first = peer.read(ids)
      assert.equal(next.id, first)
    }
    assert.deepEqual(yield* request(step(llama, cache, first)), alone(context, first))
    const steps = yield* sides({ warm: 3, count: 15 }, {
      ours: { run: request(step(llama, cache, first)) },
      peer: { run: Effect.sync(() => alone(context, first)) },
    })

    const ours: Array<number> = []
    const speak = Effect.map(generate(llama, text.slice(0, context)), ({ ids, ms }) => {
      assert.deepEqual(ids, alone(context, first))
      ours.push(ms)
    })
    const { peer: peerMs } = yield* sides({ warm: 3, count: 15 }, {
      ours: { run: speak },
      peer: { run: Effect.sync(() => alone(context, first)) },
    })
    add("generate", context, said - 1, median(ours.slice(3)), peerMs)
    add("step", context, said - 1, steps.ours, steps.peer)
  }
  return lines
})

/** Tokens a second of the embedded model on the CPU layer. */
export const decode: Bench = {
  name: "decode",
  run: Effect.scoped(program).pipe(Effect.provide(Gpu.layerCpu()), Effect.orDie),
}
