/**
 * What does the immutable paged cache cost a model? The embedded model read and spoken by Kvasir, against
 * `plain.ts`, the same arithmetic as one hand-written loop: tokens a second of both, by turns.
 *
 * - `prefill`: a prompt of one chunk read, and the next token drawn
 * - `generate`: `Llama.generate`, whose decode steps are captured once
 * - `step`: one `Llama.step` and one `Program.run` a token, every launch recorded anew
 *
 * Both sides take turns token by token; the figure is that of the median token.
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
const warm = 3, rounds = 10
const contexts = [64, 400]

/** Reads tokens after a cache and draws the most probable next one. */
const read = (llama: Llama, cache: KvCache, ids: ReadonlyArray<number>) =>
  Effect.scoped(Effect.gen(function* () {
    const next = yield* Program.run(
      Llama.step(llama, [cache], [ids], ({ last }) => Effect.flatMap(last, Tensor.argmax)),
    )
    return { cache: next.caches[0]!, id: (yield* Gpu.read(next.value))[0]! }
  }))

/** A sequence that grows by `said` tokens after a text, and begins anew. */
interface Voice {
  /** Says one more token. */
  readonly next: Effect.Effect<number, unknown, Gpu>
  /** Goes back to the text once everything is said. */
  readonly rest: Effect.Effect<unknown, unknown, Gpu>
}

type Under = ReturnType<typeof Lease.under>

/** Kvasir's, one step a token. */
const stepper = (llama: Llama, under: Under, text: KvCache, first: number): Voice => {
  let now = { cache: text, id: first }
  return {
    next: Effect.map(
      under(Effect.suspend(() => read(llama, now.cache, [now.id]))),
      (said) => (now = said).id,
    ),
    rest: Effect.suspend(() => {
      if (now.cache.length < text.length + said) return Effect.void
      now = { cache: text, id: first }
      return under(Lease.keep([text]))
    }),
  }
}

/** The peer's. */
const loop = (peer: Plain, context: number, first: number): Voice => {
  let count = 0, id = first
  return {
    next: Effect.sync(() => (count++, id = peer.read([id]))),
    rest: Effect.sync(() => {
      if (count < said) return
      peer.truncate(context)
      count = 0, id = first
    }),
  }
}

/**
 * Milliseconds of each token that `Llama.generate` says, and of each that the peer says between two of them.
 * Fails where they do not say the same.
 */
const generate = (llama: Llama, text: ReadonlyArray<number>, alone: Voice) =>
  Effect.gen(function* () {
    const times = { ours: Array<number>(), peer: Array<number>() }
    const options = { maxTokens: said + 1, temperature: 0, ignoreEos: true }
    let expected: number | undefined
    let mark = 0
    yield* Stream.runForEach(
      Llama.generate(llama, text, options),
      Effect.fnUntraced(function* (event) {
        if (event._tag !== "Token") return
        const heard = performance.now()
        if (expected !== undefined) {
          assert.equal(event.id, expected)
          times.ours.push(heard - mark)
        }
        const start = performance.now()
        expected = yield* alone.next
        times.peer.push(performance.now() - start)
        mark = performance.now()
      }),
    )
    yield* alone.rest
    return times
  })

const program = Effect.gen(function* () {
  const checkpoint = yield* Llama.open()
  const llama = yield* Llama.fromCheckpoint(checkpoint)
  const { config } = llama
  const bytes = new Map<string, Uint8Array<ArrayBuffer>>()
  for (const [name, { read }] of checkpoint.tensors) bytes.set(name, yield* read)
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
    const [ours, alone] = [stepper(llama, under, cache, first), loop(peer, context, first)]
    for (let i = 0; i < said; i++) assert.equal(yield* ours.next, yield* alone.next)
    yield* Effect.all([ours.rest, alone.rest])

    const spoken = { ours: Array<number>(), peer: Array<number>() }
    for (let round = 0; round < warm + rounds; round++) {
      const times = yield* generate(llama, text.slice(0, context), alone)
      if (round < warm) continue
      spoken.ours.push(...times.ours)
      spoken.peer.push(...times.peer)
    }
    add("generate", context, 1, median(spoken.ours), median(spoken.peer))
    const steps = yield* sides({ warm: warm * said, count: rounds * said }, {
      ours: { run: ours.next, after: ours.rest },
      peer: { run: alone.next, after: alone.rest },
    })
    add("step", context, 1, steps.ours, steps.peer)
  }
  return lines
})

/** Tokens a second of the embedded model on the CPU layer. */
export const decode: Bench = {
  name: "decode",
  run: Effect.scoped(program).pipe(Effect.provide(Gpu.layerCpu()), Effect.orDie),
}
