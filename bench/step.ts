/**
 * What does a decode step cost a GPU? Steps of a model, captured and replayed with tokens drawn on the device,
 * its weights tiled against weights as files store them: milliseconds a step, the launches of one, and what the
 * host spends on it. The embedded model, and random weights of SmolLM2-135M's sizes (q4_1 layers, q8_0 table).
 *
 * @module
 */
import assert from "node:assert/strict"
import { Context, Effect, Layer } from "effect"
import { Arena, Gpu, KvCache, Lease, Llama, Program } from "../mod.ts"
import { median } from "./measure.ts"
import type { Bench, Line } from "./report.ts"

const steps = 8, rounds = 4

type Checkpoint = Llama.Checkpoint

const sizes = {
  name: "135M shape",
  layers: 30,
  model: 576,
  ffn: 1536,
  vocab: 49_152,
  numQHeads: 9,
  numKvHeads: 3,
  headDim: 64,
  rotary: 64,
  context: 2048,
}

/** Random blocks with small scales, the same at each run. */
const blocks = (bytes: number, block: number, scales: number): Uint8Array<ArrayBuffer> => {
  const words = new Uint32Array(bytes / 4)
  let state = 1
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    words[i] = state ^ state >>> 15
  }
  const data = new Uint8Array(words.buffer)
  for (let at = 0; at < bytes; at += block) {
    for (let i = 1; i < scales; i += 2) data[at + i] = 0x10 + data[at + i]! % 8 // f16 of about 2^-10
  }
  return data
}

/** A model of `sizes` in memory; its tokenizer is the embedded model's, and is not used. */
const synthetic = (embedded: Checkpoint): Checkpoint => {
  const { model, ffn, vocab, layers, numQHeads, numKvHeads, headDim } = sizes
  const [qDim, kvDim] = [numQHeads * headDim, numKvHeads * headDim]
  const tensors = new Map<string, Llama.Stored>()
  const add = (name: string, dtype: Llama.Stored["dtype"], ...shape: ReadonlyArray<number>) => {
    const count = shape.reduce((a, b) => a * b)
    const bytes = dtype === "f32" ? 4 * count : count / 32 * (dtype === "q8_0" ? 34 : 20)
    const make = () =>
      dtype === "f32"
        ? new Uint8Array(new Float32Array(count).fill(1).buffer)
        : blocks(bytes, bytes / count * 32, dtype === "q8_0" ? 2 : 4)
    let made: Uint8Array | undefined
    const fill: Llama.Stored["fill"] = (into, at) =>
      Effect.sync(() => {
        made ??= make()
        into.set(made.subarray(at, at + into.length))
        if (at + into.length === bytes) made = undefined
      })
    tensors.set(name, { name, file: "memory", dtype, shape, offset: 0, bytes, fill })
  }
  add("token_embd.weight", "q8_0", vocab, model)
  for (let i = 0; i < layers; i++) {
    const matrices = {
      attn_q: [qDim, model],
      attn_k: [kvDim, model],
      attn_v: [kvDim, model],
      attn_output: [model, qDim],
      ffn_gate: [ffn, model],
      ffn_up: [ffn, model],
      ffn_down: [model, ffn],
    }
    for (const [name, shape] of Object.entries(matrices)) {
      add(`blk.${i}.${name}.weight`, "q4_1", ...shape)
    }
    for (const name of ["attn_norm", "ffn_norm"]) add(`blk.${i}.${name}.weight`, "f32", model)
  }
  add("output_norm.weight", "f32", model)
  return { ...embedded, config: { ...embedded.config, ...sizes }, tensors }
}

/** Milliseconds a step of the host, and in all. */
interface Times {
  readonly launches: number
  readonly host: number
  readonly all: number
}

/** Draws `steps` tokens a submit, `rounds` times after the first. */
const timesOf = (
  gpu: Gpu.GpuShape,
  checkpoint: Checkpoint,
  weights: Gpu.GpuShape["weights"],
): Effect.Effect<Times> => {
  let [launches, host] = [0, 0]
  const seen: Gpu.GpuShape = {
    ...gpu,
    weights,
    prepare: (work) => {
      launches = work.length / steps
      return gpu.prepare(work)
    },
    submit: (work) =>
      Effect.suspend(() => {
        const start = performance.now()
        const ended = Effect.sync(() => host += performance.now() - start)
        return Effect.ensuring(gpu.submit(work), ended)
      }),
  }
  return Effect.provideService(
    Effect.scoped(Effect.gen(function* () {
      const llama = yield* Llama.fromCheckpoint(checkpoint)
      const arena = yield* Arena.make(yield* Effect.fromResult(Llama.layout(llama)), 16)
      const lease = yield* Lease.make(arena)
      const chain = yield* Llama.chain(llama, arena, { steps, temperature: 0 })
      let cache = KvCache.empty(arena)
      const draw = Effect.gen(function* () {
        let count = 0
        const hear = () => Effect.sync(() => ++count < steps)
        const next = yield* Lease.under(lease)(
          Program.run(Llama.decode(chain, cache, 1, { count: steps, ahead: 0, hear })),
        )
        cache = next.caches[0]!
      })
      yield* draw
      const all: Array<number> = [], own: Array<number> = []
      for (let i = 0; i < rounds; i++) {
        host = 0
        const start = performance.now()
        yield* draw
        all.push((performance.now() - start) / steps)
        own.push(host / steps)
      }
      assert.equal(cache.length, (1 + rounds) * steps)
      return { launches, host: median(own), all: median(all) }
    })).pipe(Effect.orDie),
    Gpu.Service,
    seen,
  )
}

const linesOf = (
  gpu: Gpu.GpuShape,
  checkpoint: Checkpoint,
): Effect.Effect<ReadonlyArray<Line>> =>
  Effect.gen(function* () {
    const tiled = yield* timesOf(gpu, checkpoint, "tiled")
    const stored = yield* timesOf(gpu, checkpoint, "stored")
    const shared = {
      device: gpu.name,
      params: { model: checkpoint.config.name, adapter: gpu.adapter, steps },
    }
    return [
      {
        ...shared,
        name: "step.all",
        value: tiled.all,
        unit: "ms",
        peer: "stored weights",
        peerValue: stored.all,
        ratio: stored.all / tiled.all,
      },
      { ...shared, name: "step.host", value: tiled.host, unit: "ms" },
      { ...shared, name: "step.launches", value: tiled.launches, unit: "launches" },
    ]
  })

/** The first WebGPU device that opens here, real or played by a processor. */
const device = Layer.build(Gpu.layerWebGpu).pipe(
  Effect.catch(() => Layer.build(Gpu.layerDawn)),
  Effect.map((services) => Context.get(services, Gpu.Service)),
)

const program = Effect.gen(function* () {
  const gpu = yield* device
  const embedded = yield* Effect.orDie(Llama.open())
  const lines: Array<Line> = []
  for (const checkpoint of [embedded, synthetic(embedded)]) {
    lines.push(...(yield* linesOf(gpu, checkpoint)))
  }
  return lines
}).pipe(
  Effect.catchTag("GpuUnavailable", ({ message }) =>
    Effect.sync(() => {
      console.log(`step is not measured: ${message}`)
      return []
    })),
)

/** A decode step on WebGPU. */
export const step: Bench = {
  name: "step",
  run: Effect.scoped(program),
}
