/** Every family, as a folder and as GGUF, against a forward pass in float64. @module */
import { Effect, type Scope } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Arena, Gpu, KvCache, Lease, Llama, Program, Source } from "../../mod.ts"
import { adapters } from "../adapters.ts"
import { withFolder } from "./folder.ts"
import { cpu } from "./llama.ts"
import { reference } from "./reference.ts"
import { folderOf, ggufOf } from "./tiny.files.ts"
import { tinies, type Tiny, tinyGemma3, tinyQwen2 } from "./tiny.ts"

type Logits = ReadonlyArray<ReadonlyArray<number>>

const ids = Array.from({ length: 19 }, (_, i) => (i * i * 31 + 7 * i) % 300)
/** Most of them in one step, then one by one; windows of 5 move on between. */
const chunks = [ids.slice(0, 8), ids.slice(8, 15), ...ids.slice(15).map((id) => [id])]

/** Logits after every token. */
const logitsOf = (llama: Llama) =>
  Effect.scoped(Effect.gen(function* () {
    const layout = yield* Effect.fromResult(Llama.layout(llama, { blockSize: 4 }))
    const arena = yield* Arena.make(layout, Llama.blocksOf(layout, 5, 8))
    const out: Array<ReadonlyArray<number>> = []
    yield* Lease.scoped(arena)(Effect.gen(function* () {
      let cache = KvCache.empty(arena)
      for (const chunk of chunks) {
        const { caches, value } = yield* Program.run(
          Llama.step(llama, [cache], [chunk], ({ every }) => every),
        )
        const read = yield* Gpu.read(value)
        const { vocab } = llama.config
        for (const i of chunk.keys()) out.push([...read.subarray(i * vocab, (i + 1) * vocab)])
        cache = yield* Llama.slide(caches[0]!)
      }
    }))
    return out as Logits
  }))

type Loading = Effect.Effect<Llama, Llama.LoadError, Gpu | Scope.Scope>

const run = (load: Loading, layer: typeof cpu = cpu): Promise<Logits> =>
  Effect.runPromise(
    Effect.provide(Effect.scoped(Effect.flatMap(load, logitsOf)), layer),
  )

const asFolder = (tiny: Tiny, layer = cpu, options: Parameters<typeof folderOf>[1] = {}) =>
  withFolder(folderOf(tiny, options), (path) => run(Llama.load(path), layer))

const asGguf = (tiny: Tiny, layer = cpu) =>
  run(Llama.fromSource(Source.bytes("tiny.gguf", ggufOf(tiny))), layer)

/** The largest difference, where logits are of this size. */
const distance = (a: Logits, b: Logits): { readonly error: number; readonly size: number } => {
  assert.deepEqual(a.map((row) => row.length), b.map((row) => row.length))
  const errors = a.flatMap((row, i) => row.map((x, j) => Math.abs(x - b[i]![j]!)))
  assert.ok(errors.every((error) => error >= 0))
  return {
    error: Math.max(...errors),
    size: Math.max(...b.map((row) => Math.max(...row.map(Math.abs)))),
  }
}

for (const { name, layer } of adapters) {
  for (const tiny of tinies) {
    const agrees =
      `A tiny ${tiny.name} agrees with a float64 pass, as a folder and as GGUF (${name})`
    test(agrees, { timeout: 120_000 }, async () => {
      const [folder, gguf] = [await asFolder(tiny, layer), await asGguf(tiny, layer)]
      const want = reference(tiny, ids)
      const { error, size } = distance(folder, want)
      console.log(`${agrees}: ${error.toExponential(1)} of ${size.toFixed(1)}`)
      assert.ok(error < 1e-4, `${error}`)
      // Halves or neighbours that turn together are summed in another order.
      const apart = distance(gguf, folder).error
      assert.ok(apart < 1e-4, `${apart}`)
    })
  }
}

test("A tiny model is the same in shards and in f32", { timeout: 60_000 }, async () => {
  for (const tiny of [tinyQwen2, tinyGemma3]) {
    const whole = await asFolder(tiny)
    assert.deepEqual(await asFolder(tiny, cpu, { sharded: true }), whole)
    assert.deepEqual(await asFolder(tiny, cpu, { dtype: "F32" }), whole)
  }
})

test("A tiny Gemma 3 scales scores by what its folder says", { timeout: 60_000 }, async () => {
  const scaled = { ...tinyGemma3, scalar: 50 }
  const { error } = distance(await asFolder(scaled), reference(scaled, ids))
  assert.ok(error < 1e-4, `${error}`)
  assert.ok(distance(reference(scaled, ids), reference(tinyGemma3, ids)).error > 0.01)
})

test("The float64 pass sees each thing that sets a family apart", () => {
  const changes: ReadonlyArray<readonly [Tiny, Partial<Tiny>]> = tinies.flatMap((tiny) => [
    [tiny, { theta: tiny.theta * 10 }] as const,
    ...(tiny.scaling ? [[tiny, { scaling: { rope_type: "linear", factor: 2 } }] as const] : []),
    ...(tiny.windows
      ? [
        [tiny, { windows: { ...tiny.windows, last: 6 } }] as const,
        [tiny, { windows: { ...tiny.windows, every: 2 } }] as const,
        [tiny, { windows: { ...tiny.windows, theta: 1e6 } }] as const,
      ]
      : []),
  ])
  for (const [tiny, change] of changes) {
    const { error } = distance(reference(tiny, ids), reference({ ...tiny, ...change }, ids))
    assert.ok(error > 0.01, `${tiny.name} ${JSON.stringify(change)} ${error}`)
  }
})
