/**
 * What does it cost that a cache outlives its process? Snapshots of 400 tokens of the embedded model and of 1,000 of
 * SmolLM2-135M against the state that llama.cpp writes of as many, by turns: its caches are f16, as ours are here,
 * and for the small one f32 too.
 *
 * - `save`: into an empty folder; `save.unsynced` is the same without waiting for the disk, as llama.cpp saves
 * - `save.more`: of the cache with 32 tokens more, where the first snapshot is
 * - `restore`: into an arena that has been made
 * - `bytes`, `bytes.more`: what is in the folder after the first, and what the second has added
 *
 * @module
 */
import assert from "node:assert/strict"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Context, Effect, Layer, Option, type Scope } from "effect"
import { Arena, Gpu, KvCache, Lease, Llama, Program, Snapshot, Tensor } from "../mod.ts"
import * as LlamaCpp from "./llamacpp.ts"
import { type Side, sides } from "./measure.ts"
import type { Bench, Line } from "./report.ts"

const rounds = { warm: 1, count: 5 }
const more = 32

/** A model, and how many tokens of it are saved. */
interface Case {
  readonly model: string
  readonly file: string
  readonly tokens: number
  /** How the CPU layer's cache is stored; on a GPU as f16. */
  readonly dtypes: ReadonlyArray<"f16" | "f32">
}

const cases: ReadonlyArray<Case> = [
  {
    model: "kvasir-kjv-3m q8_0",
    file: "models/kjv-3m-q8_0.gguf",
    tokens: 400,
    dtypes: ["f16", "f32"],
  },
  {
    model: "SmolLM2-135M q4_1",
    file: ".cache/models/SmolLM2-135M-Instruct.Q4_1.gguf",
    tokens: 1000,
    dtypes: ["f16"],
  },
]
const pathOf = ({ file }: Case): string => fileURLToPath(new URL(`../${file}`, import.meta.url))

const unsynced: Snapshot.Files.Files = { ...Snapshot.Files.node, sync: () => Effect.void }

/** The most probable token after a cache and one more token. */
const next = (llama: Llama.Llama, cache: KvCache, id: number) =>
  Effect.scoped(Effect.gen(function* () {
    const body = ({ last }: Llama.Read) => Effect.flatMap(last, Tensor.argmax)
    const { value } = yield* Program.run(Llama.step(llama, [cache], [[id]], body))
    return (yield* Gpu.read(value))[0]!
  }))

/** Ours on a device, in one storage: its sides, and the bytes of the two snapshots. */
const ours = (
  gpu: Gpu.GpuShape,
  one: Case,
  dtype: "f16" | "f32",
  place: string,
  ids: ReadonlyArray<number>,
) =>
  Effect.gen(function* () {
    const llama = yield* Llama.load(pathOf(one))
    const layout = yield* Effect.fromResult(Llama.layout(llama, { dtype }))
    const arena = yield* Arena.make(layout, 3 * Math.ceil(ids.length / layout.blockSize))
    const under = Lease.under(yield* Lease.make(arena))
    const cache = yield* under(Llama.rebuild(llama, arena, ids))
    const short = yield* Effect.fromResult(KvCache.truncate(cache, one.tokens))
    const folder = (name: string) => join(place, `${gpu.name} ${dtype} ${name}`)
    const clear = (name: string) =>
      Effect.sync(() => rmSync(folder(name), { recursive: true, force: true }))
    const save = (name: string, which: KvCache) =>
      under(Snapshot.save(folder(name), "a", which, { tokens: ids.slice(0, which.length) }))
    const open = (name: string) =>
      Effect.flatMap(Snapshot.open(folder(name), "a"), (found) =>
        Lease.scoped(arena)(Snapshot.restore(arena, found)))
    const last = ids[one.tokens]!
    const bytes = (yield* save("kept", short)).bytes
    const added = (yield* save("more", short), yield* save("more", cache)).newBytes
    const again = Effect.flatMap(Snapshot.open(folder("kept"), "a"), (found) =>
      Effect.flatMap(
        Snapshot.restore(arena, found),
        (restored) =>
          next(llama, restored.cache, last),
      ))
    const [a, b] = [yield* under(next(llama, short, last)), yield* Lease.scoped(arena)(again)]
    assert.equal(b, a, "what was restored goes on otherwise")
    const run = <A, E>(effect: Effect.Effect<A, E, Gpu.Gpu>): Effect.Effect<A> =>
      Effect.orDie(Effect.provideService(effect, Gpu.Service, gpu))
    return {
      bytes,
      added,
      save: { run: run(save("new", short)), after: clear("new") },
      unsynced: {
        run: Effect.provideService(run(save("quick", short)), Snapshot.Files.Service, unsynced),
        after: clear("quick"),
      },
      more: {
        run: run(save("more", cache)),
        after: Effect.andThen(clear("more"), run(save("more", short))),
      },
      restore: { run: run(open("kept")) },
    }
  }).pipe(Effect.provideService(Gpu.Service, gpu), Effect.orDie)

/** llama.cpp on the CPU, which has read as many tokens: its sides, and the bytes of its state. */
const theirs = (process: string, one: Case, place: string, ids: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const { ask } = yield* LlamaCpp.open(process, pathOf(one), "cpu", false, ids.length + 24)
    const asked = (question: Parameters<typeof ask>[0]) => Effect.promise(() => ask(question))
    const file = (name: string) => join(place, `${one.tokens} ${name}`)
    yield* asked({ from: 0, ids: ids.slice(0, one.tokens), count: 1 })
    const [bytes] = yield* asked({ save: file("kept") })
    const [found] = yield* asked({ load: file("kept") })
    assert.equal(found, one.tokens, "llama.cpp has not restored all tokens")
    return {
      bytes: bytes!,
      save: {
        run: asked({ save: file("new") }),
        after: Effect.sync(() => rmSync(file("new"), { force: true })),
      },
      restore: { run: asked({ load: file("kept") }) },
    }
  })

const measure = (
  gpu: Gpu.GpuShape,
  one: Case,
  dtype: "f16" | "f32",
  installed: string | undefined,
) =>
  Effect.scoped(Effect.gen(function* () {
    const place = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "kvasir-bench-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true })),
    )
    const ids = Array.from({ length: one.tokens + more }, (_, i) => 300 + i * 37 % 1700)
    const mine = yield* ours(gpu, one, dtype, place, ids)
    const peer = installed === undefined || gpu.name !== "cpu"
      ? Option.none()
      : yield* orSay(theirs(installed, one, place, ids))
    const each: Record<string, Side<never, never>> = {
      save: mine.save,
      unsynced: mine.unsynced,
      more: mine.more,
      restore: mine.restore,
    }
    if (Option.isSome(peer)) {
      each["peer.save"] = peer.value.save
      each["peer.restore"] = peer.value.restore
    }
    const ms = yield* sides(rounds, each)
    const { model, tokens } = one
    const params = { model, adapter: gpu.adapter, dtype, tokens }
    const line = (name: string, value: number, unit: string, peerValue?: number): Line => ({
      name: `snapshot.${name}`,
      value,
      unit,
      device: gpu.name,
      params,
      ...(peerValue !== undefined &&
        { peer: LlamaCpp.peer.cpu, peerValue, ratio: peerValue / value }),
    })
    const bytes = Option.isSome(peer) ? peer.value.bytes / 1e6 : undefined
    return [
      line("save", ms["save"]!, "ms", ms["peer.save"]),
      line("save.unsynced", ms["unsynced"]!, "ms", ms["peer.save"]),
      line("save.more", ms["more"]!, "ms", ms["peer.save"]),
      line("restore", ms["restore"]!, "ms", ms["peer.restore"]),
      line("bytes", mine.bytes / 1e6, "MB", bytes),
      line("bytes.more", mine.added / 1e6, "MB", bytes),
    ]
  }))

/** A peer, or a printed reason why there is none. */
const orSay = <A>(peer: Effect.Effect<A, unknown, Scope.Scope>) =>
  Effect.option(
    Effect.tapError(
      peer,
      (error) => Effect.sync(() => console.log(`snapshot: a peer is not measured: ${error}`)),
    ),
  )

const devices = Effect.gen(function* () {
  const webgpu = yield* Effect.option(Layer.build(Gpu.layerWebGpu))
  const cpu = yield* Layer.build(Gpu.layerCpu())
  return [cpu, ...Option.toArray(webgpu)].map((services) => Context.get(services, Gpu.Service))
})

/** Milliseconds and megabytes of snapshots. */
export const snapshot: Bench = {
  name: "snapshot",
  run: Effect.scoped(Effect.gen(function* () {
    const installed = Option.getOrUndefined(yield* orSay(LlamaCpp.install))
    const lines: Array<Line> = []
    for (const one of cases) {
      if (!existsSync(pathOf(one))) {
        console.log(`snapshot: ${one.model} is not measured: fetch-model brings ${one.file}`)
        continue
      }
      for (const gpu of yield* devices) {
        for (const dtype of gpu.name === "cpu" ? one.dtypes : ["f16"] as const) {
          lines.push(...yield* measure(gpu, one, dtype, installed))
        }
      }
    }
    return lines
  })),
}
