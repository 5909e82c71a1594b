/**
 * A long life on one device: rounds of random operations, after each of which everything is closed, and memory is
 * looked at. What stays must be what was there before.
 *
 * @module
 */
import { Context, Effect, Exit, Layer, Result, Scope } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { setTimeout } from "node:timers/promises"
import { Arena, Gpu, type GpuUnavailable, Llama } from "../../mod.ts"
import { picker } from "../snapshot/disk.ts"
import { draw, type Operation, operations as all, perform } from "./operations.ts"
import { type Slope, slopeOf } from "./slope.ts"
import { end, type World } from "./world.ts"

/** Memory of the process after a round, in MB (10⁶ bytes). */
export interface Sample {
  readonly hours: number
  /** All that it has of the machine. */
  readonly rss: number
  /** Objects of JavaScript. */
  readonly heap: number
  /** What objects hold outside of the heap: arrays, on the CPU layer the buffers too. */
  readonly external: number
}

/** How to soak. */
export interface Options {
  readonly minutes: number
  readonly seed: number
  /** Of a round. */
  readonly seconds: number
  /** Default: all. */
  readonly operations?: ReadonlyArray<Operation>
  /** Hears each round's end. */
  readonly tell?: (sample: Sample, rounds: number) => void
}

/** How it went. */
export interface Soaked {
  readonly adapter: string
  /** Operations by what they came to. */
  readonly counts: ReadonlyMap<string, number>
  readonly samples: ReadonlyArray<Sample>
  /** Of the second half, MB an hour. */
  readonly slopes: Readonly<Record<"rss" | "heap" | "external", Slope>>
  /** Buffers when all scopes are closed. */
  readonly live: number
  /** Was garbage collected before each sample? */
  readonly collected: boolean
}

interface Engine {
  readonly gc?: () => void
  readonly Bun?: { readonly gc: (now: boolean) => void }
}
const engine = globalThis as Engine

/** Collects garbage, where the engine lets us; finalizers run between two collections. */
const collect = async (): Promise<boolean> => {
  const gc = engine.Bun === undefined ? engine.gc : () => engine.Bun!.gc(true)
  for (let i = 0; i < 3; i++) {
    gc?.()
    await setTimeout(1)
  }
  return gc !== undefined
}

const look = (start: number): Sample => {
  const { rss, heapUsed, external } = process.memoryUsage()
  const hours = (performance.now() - start) / 3_600_000
  return { hours, rss: rss / 1e6, heap: heapUsed / 1e6, external: external / 1e6 }
}

const template: Llama["template"] = Result.succeed({
  file: "soak",
  offset: 0,
  source: "{{ bos_token }}{% for m in messages %}{{ m.content }}\n{% endfor %}",
})

const blocks = 72

/** One round in an arena of its own, which must be as new when everything in it is closed. */
const round = (
  given: Omit<World, "arena" | "branches" | "talks">,
  operations: ReadonlyArray<Operation>,
  until: number,
  count: (what: string) => void,
) =>
  Effect.scoped(Effect.gen(function* () {
    const blockSize = [7, 16, 32][given.pick(3)]!
    const layout = yield* Effect.fromResult(Llama.layout(given.llama, { blockSize }))
    const arena = yield* Arena.make(layout, Math.ceil(blocks * 16 / blockSize))
    const world: World = { ...given, arena, branches: [], talks: [] }
    const some = Effect.gen(function* () {
      do count(yield* perform(world, draw(operations, given.pick)))
      while (performance.now() < until)
    })
    yield* Effect.ensuring(some, end(world))
    const held = Arena.usage(arena).map(({ numBlocks, free }) => numBlocks - free)
    if (arena.owners.size > 0 || held.some((n) => n > 0)) {
      const state = `${arena.owners.size} owners hold ${held.join(" ")} blocks`
      return yield* Effect.die(new Error(`a round ended, and ${state}`))
    }
  }))

/** Nothing but the model may be on the device. */
const left = (now: Gpu.Live, alone: Gpu.Live): void => {
  if (now.buffers === alone.buffers && now.bytes === alone.bytes) return
  const more = `${now.buffers - alone.buffers} buffers of ${now.bytes - alone.bytes} bytes`
  throw new Error(`a round ended, and ${more} stay alive`)
}

const slopesOf = (samples: ReadonlyArray<Sample>): Soaked["slopes"] => {
  const half = samples.slice(Math.floor(samples.length / 2))
  const slope = (of: "rss" | "heap" | "external"): Slope =>
    slopeOf(half.map((sample) => ({ hours: sample.hours, value: sample[of] })))
  return { rss: slope("rss"), heap: slope("heap"), external: slope("external") }
}

/**
 * Soaks. A fault of an operation rejects it; `counts` then says how far it came.
 *
 * This is no effect, and every round is a fiber of its own: under Deno 2.9 a fiber of effect 4.1 keeps about 420
 * bytes for each time that it has waited, as Deno's `AsyncResource` keeps the one before it, until the fiber ends.
 */
export const soak = async (
  layer: Layer.Layer<Gpu, GpuUnavailable>,
  { minutes, seed, seconds, tell, operations = all }: Options,
  counts: Map<string, number> = new Map(),
): Promise<Soaked> => {
  const folder = mkdtempSync(join(tmpdir(), "kvasir-soak-"))
  const [device, model] = [Scope.makeUnsafe(), Scope.makeUnsafe()]
  const close = (scope: Scope.Closeable) => Effect.runPromise(Scope.close(scope, Exit.void))
  try {
    const context = await Effect.runPromise(Layer.buildWithScope(layer, device))
    const run = Effect.runPromiseWith(context)
    const llama = { ...await run(Scope.provide(Llama.load(), model)), template }
    const gpu = Context.get(context, Gpu.Service)
    const alone = gpu.live()
    const given = { llama, folder, pick: picker(seed), saved: new Map() }
    const count = (what: string): void => void counts.set(what, (counts.get(what) ?? 0) + 1)
    const start = performance.now()
    const last = start + 60_000 * minutes
    const samples: Array<Sample> = []
    let collected = false
    do {
      const until = Math.min(last, performance.now() + 1000 * seconds)
      await run(round(given, operations, until, count))
      left(gpu.live(), alone)
      collected = await collect()
      samples.push(look(start))
      tell?.(samples.at(-1)!, samples.length)
    } while (performance.now() < last)
    await close(model)
    const { adapter } = gpu
    const live = gpu.live().buffers
    return { adapter, counts, samples, slopes: slopesOf(samples), live, collected }
  } finally {
    await close(model)
    await close(device)
    rmSync(folder, { recursive: true, force: true })
  }
}
