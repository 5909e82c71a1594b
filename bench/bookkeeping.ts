/**
 * What does the host pay around the kernels? The embedded model's steps on a device that does nothing, and
 * the parts of one step by themselves: µs each.
 *
 * - `step`: `Llama.step` and `Program.run` of one token, every launch recorded anew
 * - `generate`: a token of `Llama.generate`, whose decode steps are captured once and replayed
 * - `claim`: slots claimed, tables, settlement, and the transaction around them, without launches
 * - `batch`: the flat arrays kernels read, for one row and for 32
 * - `record`: one launch written down, by an effect and by the plain function under it
 * - `run`: one launch written down by an effect, given memory and submitted
 *
 * @module
 */
import assert from "node:assert/strict"
import { Effect, Result, Stream } from "effect"
import { Arena, Batch, Gpu, KvCache, Lease, Llama, Program, Recording, Tensor } from "../mod.ts"
import { layer as idle } from "./idle.ts"
import { sides } from "./measure.ts"
import type { Bench, Line } from "./report.ts"

const context = 400, times = 32
const sizes = { tokens: 1, model: 192 }

/** A recording that counts what it is given. */
const launchesOf = <A, E, R>(body: Effect.Effect<A, E, R | Recording>) =>
  Effect.gen(function* () {
    const rec = Recording.open()
    const value = yield* Effect.provideService(body, Recording.Service, rec)
    return [rec.work.length, value] as const
  })

const program = Effect.gen(function* () {
  const llama = yield* Llama.load()
  const { config } = llama
  const arena = yield* Arena.make(yield* Effect.fromResult(Llama.layout(llama)), 64)
  const request = Lease.scoped(arena)
  const lease = yield* Lease.make(arena)
  const read = (cache: KvCache, ids: ReadonlyArray<number>) =>
    Effect.scoped(
      Program.run(Llama.step(llama, [cache], [ids], ({ last }) =>
        Effect.gen(function* () {
          const token = yield* Effect.flatMap(last, Tensor.argmax)
          return { token, launches: (yield* Recording.Service).work.length }
        }))),
    )
  const text = Array.from({ length: context }, (_, i) => i)
  const { caches: [cache], value: { launches } } = yield* Lease.under(lease)(
    read(KvCache.empty(arena), text),
  )
  assert.ok(cache !== undefined && cache.length === context)

  const step = request(Effect.gen(function* () {
    let at = cache
    for (let i = 0; i < times; i++) at = (yield* read(at, [i])).caches[0]!
    assert.equal(at.length, context + times)
  }))
  const claim = request(Effect.gen(function* () {
    // No layer is written: nothing but the host's part of a step is of interest here.
    const body = ({ written }: KvCache.Step) =>
      Effect.sync(() => {
        for (let layer = 0; layer < config.layers; layer++) written.add(layer)
        return { value: undefined }
      })
    let at = cache
    for (let i = 0; i < times; i++) {
      at = (yield* Effect.scoped(Program.run(KvCache.step([at], [1], body)))).caches[0]!
    }
  }))
  const generate = Effect.gen(function* () {
    const options = { maxTokens: times + 1, temperature: 0, ignoreEos: true }
    let said = 0
    yield* Stream.runForEach(
      Llama.generate(llama, text.slice(0, 64), options),
      ({ _tag }) => Effect.sync(() => _tag === "Token" && said++),
    )
    assert.equal(said, times + 1)
  })
  const row = {
    tables: cache.node.tables!,
    starts: cache.starts,
    cachedLen: context - 1,
    queryLen: 1,
  }
  const rows = Array.from({ length: times }, () => row)
  const batch = (of: ReadonlyArray<Batch.Row>) =>
    Effect.sync(() => {
      for (let i = 0; i < times; i++) assert.equal(Batch.of(arena, of).tokens, of.length)
    })

  const x = yield* Gpu.upload("f32", "tokens model", sizes, new Float32Array(sizes.model))
  const many = 100
  const effects = Effect.gen(function* () {
    let y = x
    for (let i = 0; i < many; i++) y = yield* Tensor.add(y, x)
    return y
  })
  const plain = Effect.sync(() => {
    const rec = Recording.open()
    let y = x
    for (let i = 0; i < many; i++) y = Result.getOrThrow(Tensor.addTo(rec, y, x))
    assert.equal(rec.work.length, many)
  })
  assert.equal((yield* launchesOf(effects))[0], many)

  const ms = yield* sides({ warm: 20, count: 40 }, {
    step: { run: step },
    generate: { run: generate },
    claim: { run: claim },
    batch1: { run: batch([row]) },
    batch32: { run: batch(rows) },
    effects: { run: launchesOf(effects) },
    plain: { run: plain },
    run: { run: Effect.scoped(Program.run(effects)) },
  })
  const line = (name: string, value: number, params: Line["params"]): Line => ({
    name: `bookkeeping.${name}`,
    value: 1000 * value,
    unit: "µs",
    device: "none",
    params,
  })
  const model = { model: config.name, layers: config.layers }
  return [
    line("step", ms.step / times, { ...model, context, launches }),
    line("step.launch", ms.step / times / launches, { ...model, context, launches }),
    line("generate", ms.generate / times, { ...model, context: 64, tokens: times }),
    line("claim", ms.claim / times, { ...model, context }),
    line("batch", ms.batch1 / times, { context, rows: 1 }),
    line("batch", ms.batch32 / times, { context, rows: rows.length }),
    line("record.effect", ms.effects / many, { launches: many }),
    line("record.plain", ms.plain / many, { launches: many }),
    line("run", ms.run / many, { launches: many }),
  ]
})

/** µs of the host's work, without any kernel's. */
export const bookkeeping: Bench = {
  name: "bookkeeping",
  run: Effect.scoped(program).pipe(Effect.provide(idle), Effect.orDie),
}
