/** Attention over a paged cache equals dense attention over the same keys and values. */
import assert from "node:assert/strict"
import { Effect, Result } from "effect"
import { Arena, Attention, Gpu, KvCache, Layout, Lease, Program, Window } from "../mod.ts"

const [length, numQHeads, heads, dim] = [37, 6, 2, 8] // groups of three query heads, a ragged end

/** Numbers that look random and are the same every time. */
const wave = (n: number, seed: number) =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(seed + 12.9898 * i) * 2)

const [q, k, v] = [
  wave(numQHeads * dim, 1),
  wave(length * heads * dim, 2),
  wave(length * heads * dim, 3),
]

const layout = Result.getOrThrow(
  Layout.make({ layers: 1, keyHeads: heads, keyDim: dim, blockSize: 5 }),
)

const program = Effect.scoped(Effect.gen(function* () {
  const arena = yield* Arena.make(layout, 8)
  const keys = yield* Gpu.upload(
    "f32",
    "layers tokens keyHeads keyDim",
    { layers: 1, tokens: length, keyHeads: heads, keyDim: dim },
    k,
  )
  const values = yield* Gpu.upload(
    "f32",
    "layers tokens valueHeads valueDim",
    { layers: 1, tokens: length, valueHeads: heads, valueDim: dim },
    v,
  )
  const query = yield* Gpu.upload(
    "f32",
    "batch numQHeads headDim",
    { batch: 1, numQHeads, headDim: dim },
    q,
  )
  const cache = yield* Effect.fromResult(KvCache.append(KvCache.empty(arena), { keys, values }))
  yield* Lease.scoped(arena)(Effect.gen(function* () {
    for (const window of [Window.all, Window.last(10), Window.last(10, { sinks: 2 })]) {
      const paged = yield* Program.run(Attention.decode(query, [cache], { window }))
      const out = yield* Gpu.read(paged.out)
      const sizes = { queryLen: 1, contextLen: length, numQHeads, keyHeads: heads }
      const dense = Attention.dense(
        { q, k, v, ...sizes, valueHeads: heads, keyDim: dim, valueDim: dim },
        { window },
      )
      const error = Math.max(...out.map((x, i) => Math.abs(x - dense.out[i]!)))
      assert.ok(error < 1e-6)
      const seen = window.last === undefined ? "everything" : `the last ${window.last}`
      const sinks = window.sinks > 0 ? ` and the first ${window.sinks}` : ""
      console.log(`sees ${seen}${sinks}: paged equals dense within 1e-6`)
    }
  }))
}))

await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
