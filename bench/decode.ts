/**
 * What does the immutable paged cache cost a model? The embedded model read and spoken by Kvasir, against
 * `plain.ts`, the same arithmetic as one hand-written loop: tokens a second of both, by turns.
 *
 * - `prefill`: a prompt of one chunk read, and the next token drawn
 * - `generate`: `Llama.generate`, whose decode steps are captured once
 * - `step`: one `Llama.step` and one `Program.run` a token, every launch recorded anew
 *
 * Both sides take turns of 48 tokens; the figure is that of the median token.
 *
 * @module
 */
import assert from "node:assert/strict"
import { Effect, Stream } from "effect"
import { Arena, Gpu, KvCache, Lease, Llama, Program, Tensor } from "../mod.ts"
import { median, sides } from "./measure.ts"
import { type Plain, plain } from "./plain.ts"
import type { Bench, Line } from "./report.ts"

const chunk = 64
const said = 48
const warm = 8, rounds = 15
const contexts = [64, 400]

/** Tokens as they are heard, and the milliseconds from each to the next. */
const clock = (...ids: Array<number>) => {
  const times: Array<number> = []
  let last = performance.now()
  const hear = (id: number): void => {
    const now = performance.now()
    if (ids.length > 0) times.push(now - last)
    last = now
    ids.push(id)
  }
  return { ids, times, hear }
}

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
    const heard = clock(first)
    let cache = from
    while (heard.ids.length < said) {
      const next = yield* read(llama, cache, [heard.ids.at(-1)!])
      cache = next.cache
      heard.hear(next.id)
    }
    return heard
  })

/** Says tokens after a text. */
const generate = (llama: Llama, text: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const heard = clock()
    const options = { maxTokens: said, temperature: 0, ignoreEos: true }
    yield* Stream.runForEach(
      Llama.generate(llama, text, options),
      (event) => Effect.sync(() => event._tag === "Token" && heard.hear(event.id)),
    )
    return heard
  })

/** What the peer says after `context` tokens. */
const loop = (peer: Plain, context: number, first: number) => {
  peer.truncate(context)
  const heard = clock(first)
  while (heard.ids.length < said) heard.hear(peer.read([heard.ids.at(-1)!]))
  return heard
}

const program = Effect.gen(function* () {
  const checkpoint = yield* Llama.open()
  const llama = yield* Llama.fromCheckpoint(checkpoint)
  const { config } = llama
  const bytes = new Map<string, Uint8Array<ArrayBuffer>>()
  for (const [name, stored] of checkpoint.tensors) {
    const data = new Uint8Array(stored.bytes)
    yield* stored.fill(data, 0)
    bytes.set(name, data)
  }
  const peer = plain(config, (name) => bytes.get(name)!, chunk)
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
    const under = Lease.under(yield* Lease.make(arena))
    peer.truncate(0)
    let [cache, first] = [empty, 0]
    for (let at = 0; at < context; at += chunk) {
      const ids = text.slice(at, Math.min(at + chunk, context))
      const next = yield* under(read(llama, cache, ids))
      cache = next.cache
      first = peer.read(ids)
      assert.equal(next.id, first)
    }
    const ways = {
      generate: generate(llama, text.slice(0, context)),
      step: Effect.suspend(() => request(step(llama, cache, first))),
    }
    for (const [name, way] of Object.entries(ways)) {
      const [ours, alone] = [Array<number>(), Array<number>()]
      for (let round = 0; round < warm + rounds; round++) {
        const [we, they] = [yield* way, loop(peer, context, first)]
        assert.deepEqual(we.ids, they.ids)
        if (round < warm) continue
        ours.push(...we.times)
        alone.push(...they.times)
      }
      add(name, context, 1, median(ours), median(alone))
    }
  }
  return lines
})

/** Tokens a second of the embedded model on the CPU layer. */
export const decode: Bench = {
  name: "decode",
  run: Effect.scoped(program).pipe(Effect.provide(Gpu.layerCpu()), Effect.orDie),
}
