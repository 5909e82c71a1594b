/**
 * How fast does a real model speak? SmolLM2-135M on a WebGPU adapter against llama.cpp's Vulkan backend on the
 * same adapter, and on the CPU layer against llama.cpp's CPU backend: tokens a second, all four by turns.
 *
 * - `prefill`: a prompt read from nothing, and the next token drawn
 * - `decode`: tokens drawn after the prompt, the most probable ones; the chain is captured anew each time
 *
 * @module
 */
import assert from "node:assert/strict"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { Context, Effect, Layer, Option, type Scope } from "effect"
import { Arena, Gpu, KvCache, Lease, Llama, Program, Tensor } from "../mod.ts"
import * as LlamaCpp from "./llamacpp.ts"
import { sides } from "./measure.ts"
import type { Bench, Line } from "./report.ts"

const file = ".cache/models/SmolLM2-135M-Instruct.Q4_1.gguf"
const path = fileURLToPath(new URL(`../${file}`, import.meta.url))

const context = 241, said = 32
const chunk = 64 // what `generate` reads at once
const backends = ["vulkan", "cpu"] as const
const rounds = { warm: 0, count: 3 } // the check is the round that warms

/** One of the four. */
interface Speaker {
  /** The token after the prompt. */
  readonly prefill: Effect.Effect<ReadonlyArray<number>>
  /** Tokens after the prompt and its next token. */
  readonly decode: (first: number) => Effect.Effect<ReadonlyArray<number>>
}

/** Ids of its vocabulary in no order. */
const prompt = Array.from({ length: context }, (_, i) => 100 + i * 7919 % 40_000)

const read = (llama: Llama.Llama, cache: KvCache, ids: ReadonlyArray<number>) =>
  Effect.scoped(Effect.gen(function* () {
    const next = yield* Program.run(
      Llama.step(llama, [cache], [ids], ({ last }) => Effect.flatMap(last, Tensor.argmax)),
    )
    return { cache: next.caches[0]!, id: (yield* Gpu.read(next.value))[0]! }
  }))

const readAll = (llama: Llama.Llama, empty: KvCache, ids: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    let next = yield* read(llama, empty, ids.slice(0, chunk))
    for (let at = chunk; at < ids.length; at += chunk) {
      next = yield* read(llama, next.cache, ids.slice(at, at + chunk))
    }
    return next
  })

/** Kvasir on a device. */
const ours = (gpu: Gpu.GpuShape): Effect.Effect<Speaker, never, Scope.Scope> =>
  Effect.gen(function* () {
    const llama = yield* Llama.load(path)
    const arena = yield* Arena.make(yield* Effect.fromResult(Llama.layout(llama)), 48)
    const request = Lease.scoped(arena) // a lease of its own: its blocks are free again after each round
    const under = Lease.under(yield* Lease.make(arena))
    const empty = KvCache.empty(arena)
    const { cache } = yield* under(readAll(llama, empty, prompt))
    const { steps, ahead } = gpu.chain
    const decode = Effect.fnUntraced(function* (first: number) {
      const ids: Array<number> = []
      const chain = yield* Llama.chain(llama, arena, { steps, temperature: 0 })
      const hear = ({ id }: Llama.DrawnToken) => Effect.sync(() => ids.push(id) < said)
      yield* Program.run(Llama.decode(chain, cache, first, { count: said, ahead, hear }))
      return ids
    })
    const run = <A, E>(effect: Effect.Effect<A, E, Gpu.Gpu>) =>
      Effect.orDie(Effect.provideService(effect, Gpu.Service, gpu))
    return {
      prefill: run(request(Effect.map(readAll(llama, empty, prompt), ({ id }) => [id]))),
      decode: (first: number) => run(request(Effect.scoped(decode(first)))),
    }
  }).pipe(Effect.provideService(Gpu.Service, gpu), Effect.orDie)

const device = <E>(layer: Layer.Layer<Gpu.Gpu, E>) =>
  Effect.map(Layer.build(layer), (services) => Context.get(services, Gpu.Service))

/** llama.cpp, where it runs on the adapter that ours runs on, with every layer. */
const theirs = (
  process: string,
  backend: LlamaCpp.Backend,
  gpu: Gpu.GpuShape,
): Effect.Effect<Speaker, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const { ask, devices, offloaded } = yield* LlamaCpp.open(process, path, backend, gpu.software)
    const [layers, of] = offloaded.split("/")
    if (backend === "vulkan" && !(devices[0] === gpu.adapter && layers === of)) {
      const where = `${offloaded} layers on ${devices.join(", ") || "no device"}`
      return yield* Effect.fail(`${LlamaCpp.peer[backend]} has ${where}, not all on ${gpu.adapter}`)
    }
    return {
      prefill: Effect.promise(() => ask({ from: 0, ids: prompt, count: 1 })),
      decode: (first) => Effect.promise(() => ask({ from: context, ids: [first], count: said })),
    }
  })

/** A speaker, or a printed reason why there is none. */
const orSay = <A>(speaker: Effect.Effect<A, unknown, Scope.Scope>) =>
  Effect.option(
    Effect.tapError(
      speaker,
      (error) => Effect.sync(() => console.log(`llama: a peer is not measured: ${error}`)),
    ),
  )

const program = Effect.gen(function* () {
  const gpus = { vulkan: yield* device(Gpu.layerWebGpu), cpu: yield* device(Gpu.layerCpu()) }
  const installed = yield* orSay(LlamaCpp.install)
  const speakers = new Map<string, Speaker>()
  for (const backend of backends) {
    speakers.set(gpus[backend].name, yield* ours(gpus[backend]))
    if (Option.isNone(installed)) continue
    const peer = yield* orSay(theirs(installed.value, backend, gpus.vulkan))
    if (Option.isSome(peer)) speakers.set(LlamaCpp.peer[backend], peer.value)
  }

  const { prefill, decode } = speakers.get(gpus.vulkan.name)!
  const [first] = yield* prefill
  const ids = yield* decode(first!)
  for (const [name, speaker] of speakers) {
    assert.deepEqual([yield* speaker.prefill, yield* speaker.decode(first!)], [[first], ids], name)
  }

  const lines: Array<Line> = []
  const measure = Effect.fnUntraced(function* (
    name: string,
    tokens: number,
    run: (speaker: Speaker) => Speaker["prefill"],
  ) {
    const each = [...speakers].map(([name, speaker]) => [name, { run: run(speaker) }] as const)
    const ms = yield* sides<string, never, never>(rounds, Object.fromEntries(each))
    for (const backend of backends) {
      const { name: device, adapter } = gpus[backend]
      const [value, peer] = [1000 * tokens / ms[device]!, LlamaCpp.peer[backend]]
      const params = { model: "SmolLM2-135M q4_1", adapter, context, tokens }
      const line = { name: `llama.${name}`, value, unit: "tok/s", device, params }
      const peerMs = ms[peer]
      if (peerMs === undefined) lines.push(line)
      else {
        const peerValue = 1000 * tokens / peerMs
        lines.push({ ...line, peer, peerValue, ratio: value / peerValue })
      }
    }
  })
  yield* measure("prefill", context, ({ prefill }) => prefill)
  yield* measure("decode", said, ({ decode }) => decode(first!))
  return lines
})

const skip = (reason: string): Effect.Effect<ReadonlyArray<Line>> =>
  Effect.sync(() => {
    console.log(`llama is not measured: ${reason}`)
    return []
  })

/** Tokens a second of SmolLM2-135M. */
export const llama: Bench = {
  name: "llama",
  run: Effect.suspend(() =>
    existsSync(path) ? Effect.scoped(program) : skip(`there is no ${file}: fetch-model brings it`)
  ).pipe(Effect.catchTag("GpuUnavailable", ({ message }) => skip(message))),
}
