/**
 * What does the immutable paged cache cost a model? The embedded model read and spoken through `Llama.step`,
 * against `plain.ts`, the same arithmetic as one hand-written loop: tokens a second of both, by turns.
 *
 * @module
 */
import assert from "node:assert/strict"
import { Effect, Layer } from "effect"
import { Arena, Gguf, Gpu, KvCache, Lease, Llama, Program } from "../mod.ts"
import { sides } from "./measure.ts"
import { plain } from "./plain.ts"
import type { Bench, Line } from "./report.ts"

/** Prefilled at once, and said after each context. */
const chunk = 64, said = 16
const contexts = [64, 400]

/** Reads tokens after a cache and draws the most probable next one, as `Llama.generate` does each turn. */
const read = (llama: Llama, cache: KvCache, ids: ReadonlyArray<number>) =>
  Effect.scoped(Effect.gen(function* () {
    const next = yield* Program.run(
      Llama.step(llama, [cache], [ids], ({ last }) =>
        Effect.flatMap(last, (logits) => Llama.choose(logits, [0], { temperature: 0 }))),
    )
    return { cache: next.caches[0]!, id: (yield* Gpu.read(next.value))[0]! }
  }))

/** Says `said` tokens greedily after a cache that ends before `first`. */
const speak = (llama: Llama, from: KvCache, first: number) =>
  Effect.gen(function* () {
    const ids = [first]
    let cache = from
    for (let i = 0; i < said; i++) {
      const next = yield* read(llama, cache, [ids.at(-1)!])
      cache = next.cache
      ids.push(next.id)
    }
    return ids
  })

const program = Effect.gen(function* () {
  const source = yield* Llama.open()
  const llama = yield* Llama.fromSource(source)
  const { config } = llama
  const gguf = yield* Gguf.open(source)
  const bytes = new Map<string, Uint8Array<ArrayBuffer>>()
  for (const [name, info] of gguf.tensors) bytes.set(name, yield* Gguf.tensorBytes(source, info))
  const peer = plain(config, (name) => bytes.get(name)!, chunk)

  const arena = yield* Arena.make(yield* Effect.fromResult(Llama.layout(llama)), 64)
  const request = Lease.scoped(arena) // a lease of its own: its blocks are free again after each round
  const text = Array.from({ length: 512 }, (_, i) => (i * 37 + 11) % config.vocab)
  const lines: Array<Line> = []
  const add = (what: string, tokens: number, context: number, ms: Record<"ours" | "peer", number>) =>
    lines.push({
      name: `decode.${what}`,
      value: 1000 * tokens / ms.ours,
      unit: "tok/s",
      params: { model: config.name, weights: "q8_0", context, tokens },
      peer: "plain loop",
      peerValue: 1000 * tokens / ms.peer,
    })

  const empty = KvCache.empty(arena)
  const prompt = text.slice(0, chunk)
  const alone = () => (peer.truncate(0), peer.read(prompt))
  assert.equal((yield* request(read(llama, empty, prompt))).id, alone())
  add(
    "prefill",
    chunk,
    0,
    yield* sides({ warm: 5, count: 15 }, {
      ours: request(read(llama, empty, prompt)),
      peer: Effect.sync(alone),
    }),
  )

  for (const context of contexts) {
    let [cache, id] = [empty, 0]
    const lease = yield* Lease.make(arena)
    peer.truncate(0)
    for (let at = 0; at < context; at += chunk) {
      const ids = text.slice(at, Math.min(at + chunk, context))
      ;({ cache, id } = yield* Lease.under(lease)(read(llama, cache, ids)))
      assert.equal(peer.read(ids), id)
    }
    const alone = () => {
      peer.truncate(context)
      const ids = [id]
      for (let i = 0; i < said; i++) ids.push(peer.read([ids.at(-1)!]))
      return ids
    }
    assert.deepEqual(yield* request(speak(llama, cache, id)), alone())
    add(
      "decode",
      said,
      context,
      yield* sides({ warm: 5, count: 25 }, {
        ours: request(speak(llama, cache, id)),
        peer: Effect.sync(alone),
      }),
    )
  }
  return lines
})

/** Tokens a second of the embedded model on the CPU layer. */
export const decode: Bench = {
  name: "decode",
  device: "cpu",
  run: Effect.scoped(program).pipe(Effect.provide(Gpu.layerCpu()), Effect.orDie),
}
