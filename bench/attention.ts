/**
 * How fast is decode attention over a paged cache on WebGPU? Milliseconds of one `Attention.decode` of a
 * batch among others in a run, host work included, against the same attention over dense arrays by the peer.
 *
 * Both sides are timed by turns as the slope between one call and many, so that what a submit and a read cost
 * by themselves falls out.
 *
 * @module
 */
import assert from "node:assert/strict"
import { Effect, Option } from "effect"
import { Arena, Attention, Gpu, KvCache, Layout, Lease, Program, type Tensor } from "../mod.ts"
import { floats } from "../property-tests/kernels/values.ts"
import * as Jax from "./jax.ts"
import { sides } from "./measure.ts"
import type { Bench, Line } from "./report.ts"

type Sizes = Jax.Sizes & { readonly times: number }

const small = { batch: 1, numQHeads: 9, numKvHeads: 3, headDim: 64 }
const large = { batch: 8, numQHeads: 32, numKvHeads: 8, headDim: 64 }
const all: ReadonlyArray<Sizes> = [
  { ...small, contextLen: 1024, times: 25 },
  { ...small, contextLen: 4096, times: 9 },
  { ...large, contextLen: 1024, times: 4 },
]

const rounds = { warm: 2, count: 9 }

/** Rows `[contextLen, numKvHeads, headDim]` as `[numKvHeads, contextLen, headDim]`. */
const byHead = (
  rows: Float32Array,
  { numKvHeads, headDim, contextLen }: Sizes,
): ReadonlyArray<Float32Array> =>
  Array.from({ length: numKvHeads * contextLen }, (_, i) => {
    const row = i % contextLen * numKvHeads + Math.floor(i / contextLen)
    return rows.subarray(row * headDim, (row + 1) * headDim)
  })

const joined = (parts: ReadonlyArray<Float32Array>): Float32Array => {
  const width = parts[0]!.length
  const all = new Float32Array(parts.length * width)
  for (const [i, part] of parts.entries()) all.set(part, i * width)
  return all
}

/** Numbers of each sequence, and the oracle's answer. */
const numbersOf = (sizes: Sizes) => {
  const { batch, numQHeads, numKvHeads, headDim, contextLen } = sizes
  const sequences = Array.from({ length: batch }, (_, i) => {
    const q = floats(3 * i, numQHeads * headDim)
    const k = floats(3 * i + 1, contextLen * numKvHeads * headDim)
    const v = floats(3 * i + 2, contextLen * numKvHeads * headDim)
    const heads = { numQHeads, keyHeads: numKvHeads, valueHeads: numKvHeads }
    const dims = { keyDim: headDim, valueDim: headDim }
    const { out } = Attention.dense({ q, k, v, queryLen: 1, contextLen, ...heads, ...dims })
    return { q, k, v, out: Float32Array.from(out) }
  })
  return { sequences, out: joined(sequences.map(({ out }) => out)) }
}
type Numbers = ReturnType<typeof numbersOf>

const check = (who: string, actual: Float32Array, expected: Float32Array): void => {
  assert.equal(actual.length, expected.length)
  const worst = actual.reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i]!)), 0)
  assert.ok(worst < 2e-5, `${who} is wrong by ${worst}`)
}

/** Caches that hold the numbers, and `n` times the attention over them in one run. */
const ours = (sizes: Sizes, { sequences, out }: Numbers) =>
  Effect.gen(function* () {
    const { batch, numQHeads, numKvHeads, headDim, contextLen } = sizes
    const blockSize = 16
    const layout = yield* Effect.fromResult(
      Layout.make({ layers: 1, keyHeads: numKvHeads, keyDim: headDim, blockSize }),
    )
    const arena = yield* Arena.make(layout, batch * Math.ceil(contextLen / blockSize))
    const lease = yield* Lease.make(arena)
    const under = Lease.under(lease)
    const caches: Array<KvCache> = []
    for (const { k, v } of sequences) {
      const of = { layers: 1, tokens: contextLen }
      const rows = {
        keys: yield* Gpu.upload("f32", "layers tokens keyHeads keyDim", {
          ...of,
          keyHeads: numKvHeads,
          keyDim: headDim,
        }, k),
        values: yield* Gpu.upload("f32", "layers tokens valueHeads valueDim", {
          ...of,
          valueHeads: numKvHeads,
          valueDim: headDim,
        }, v),
      }
      caches.push(yield* Effect.fromResult(KvCache.append(KvCache.empty(arena), rows)))
    }
    yield* under(Program.run(KvCache.realize(caches)))
    const queries: Tensor.Tensor<"f32", "batch numQHeads headDim"> = yield* Gpu.upload(
      "f32",
      "batch numQHeads headDim",
      { batch, numQHeads, headDim },
      joined(sequences.map(({ q }) => q)),
    )
    const run = (n: number) =>
      Effect.scoped(Effect.gen(function* () {
        const each = Array.from({ length: n }, () => Attention.decode(queries, caches))
        const states = yield* under(
          Program.run(Effect.all(each).pipe(Effect.map((s) => s.at(-1)!))),
        )
        return yield* Gpu.read(states.out)
      }))
    check("attention", yield* run(2), out)
    return run
  })

const measure = (sizes: Sizes, jax: Option.Option<Effect.Success<typeof Jax.open>>) =>
  Effect.gen(function* () {
    const gpu = yield* Gpu.Service
    const { times, ...params } = sizes
    const numbers = numbersOf(sizes)
    const run = yield* ours(sizes, numbers)
    const mine = { "ours once": { run: run(1) }, "ours often": { run: run(times) } }
    const slope = (once: number, often: number): number => (often - once) / (times - 1)
    const line = { name: "attention.decode", unit: "ms", device: gpu.name }
    const said = { ...params, dtype: "f32", adapter: gpu.adapter }
    if (Option.isNone(jax)) {
      const ms = yield* sides(rounds, mine)
      return { ...line, value: slope(ms["ours once"], ms["ours often"]), params: said }
    }
    const { sequences, out } = numbers
    const peer = Jax.decode(jax.value, sizes, [
      joined(sequences.map(({ q }) => q)),
      joined(sequences.flatMap(({ k }) => byHead(k, sizes))),
      joined(sequences.flatMap(({ v }) => byHead(v, sizes))),
    ])
    check("the peer", yield* Effect.promise(() => peer.result()), out)
    const ms = yield* sides(rounds, {
      ...mine,
      "peer once": { run: Effect.promise(() => peer.run(1)) },
      "peer often": { run: Effect.promise(() => peer.run(times)) },
    })
    peer.dispose()
    const value = slope(ms["ours once"], ms["ours often"])
    const peerValue = slope(ms["peer once"], ms["peer often"])
    return { ...line, value, params: said, peer: Jax.peer, peerValue, ratio: peerValue / value }
  })

const program = Effect.gen(function* () {
  const jax = yield* Effect.option(
    Effect.tapError(
      Jax.open,
      (error) => Effect.sync(() => console.log(`attention runs without its peer: ${error}`)),
    ),
  )
  const lines: Array<Line> = []
  for (const sizes of all) lines.push(yield* Effect.scoped(measure(sizes, jax)))
  return lines
})

/** Milliseconds of decode attention. */
export const attention: Bench = {
  name: "attention",
  run: Effect.scoped(program).pipe(
    Effect.provide(Gpu.layerWebGpu),
    Effect.catchTag("GpuUnavailable", ({ message }) =>
      Effect.sync((): ReadonlyArray<Line> => {
        console.log(`attention is not measured: ${message}`)
        return []
      })),
    Effect.orDie,
  ),
}
