/** Attention over caches on every device, in the shapes of its registers and in the general one. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { Effect } from "effect"
import fc from "fast-check"
import {
  Arena,
  Attention,
  Gpu,
  KvCache,
  Layout,
  Lease,
  Program,
  Tensor,
  Window,
} from "../../mod.ts"
import { LSE_EMPTY } from "../../kernels/constants.ts"
import { adapters } from "../adapters.ts"
import { floats } from "../kernels/values.ts"

/** Dims and groups of every kind; `most` queries a row make it decode, or prefill. */
const shapes = [
  { dim: 1, group: 4, dtype: "f16", most: 20, softCap: 5 },
  { dim: 3, group: 3, dtype: "f32", most: 1 },
  { dim: 5, group: 8, dtype: "bf16", most: 20 },
  { dim: 64, group: 3, dtype: "f32", most: 1 },
  { dim: 80, group: 1, dtype: "f16", most: 20 },
  { dim: 128, group: 8, dtype: "bf16", most: 1 },
  { dim: 256, group: 1, dtype: "f32", most: 20 },
  { dim: 7, group: 2, dtype: "int8", most: 20 },
  { dim: 64, group: 3, dtype: "int8", most: 1 },
  { dim: 36, group: 4, dtype: "int8", most: 20, softCap: 5 },
] as const
type Shape = typeof shapes[number]

const given = fc.record({
  placement: fc.constantFrom("perLayer", "fused", "interleaved"),
  blockSize: fc.constantFrom(1, 5, 16, 32),
  rows: fc.array(
    fc.record({
      length: fc.integer({ min: 1, max: 150 }),
      queries: fc.integer({ min: 1, max: 20 }),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  window: fc.oneof(
    fc.constant(Window.all),
    fc.record({ last: fc.integer({ min: 1, max: 90 }), sinks: fc.nat(4) }),
  ),
  mask: fc.constantFrom("causal", "looking ahead", "chunk", "segments", "starts"),
  seed: fc.nat(1 << 20),
})
type Given = typeof given extends fc.Arbitrary<infer T> ? T : never

const kvHeads = 2

/** A mask for all rows, and what the oracle is told of each. */
const maskOf = ({ mask, window, rows, seed }: Given) => {
  const width = 1 + seed % 7
  const segments = rows.map(({ length }) =>
    Array.from({ length }, (_, i) => i < seed % 3 ? -1 : Math.floor(i / width))
  )
  const starts = rows.map((_, i) => (seed + i) % 5)
  switch (mask) {
    case "causal":
      return { read: { window }, dense: () => ({ window }) }
    case "looking ahead": {
      const own = { causal: false, window: { ...window, sinks: 0 } }
      return { read: own, dense: () => own }
    }
    case "chunk":
      return { read: { chunk: width }, dense: () => ({ chunk: width }) }
    case "segments":
      return { read: { segments }, dense: (i: number) => ({ segments: segments[i]! }) }
    case "starts":
      return { read: { starts }, dense: (i: number) => ({ start: starts[i]! }) }
  }
}

/** What the device says, and the oracle over the rows it holds. */
const both = (
  { dim, group, dtype, most, ...options }: Shape,
  given: Given,
) =>
  Effect.gen(function* () {
    const { placement, blockSize, rows, seed } = given
    const mask = maskOf(given)
    const layout = yield* Effect.fromResult(
      Layout.make({ layers: 1, keyHeads: kvHeads, keyDim: dim, blockSize, dtype, placement }),
    )
    const blocks = rows.reduce((sum, { length }) => sum + Math.ceil(length / blockSize), 0)
    const arena = yield* Arena.make(layout, blocks)
    const numQHeads = kvHeads * group
    const counts = rows.map(({ length, queries }) => Math.min(length, queries, most))
    const tokens = counts.reduce((sum, n) => sum + n, 0)
    const q = floats(seed, tokens * numQHeads * dim)
    return yield* Lease.scoped(arena)(Effect.gen(function* () {
      const caches: Array<KvCache> = []
      for (const [i, { length }] of rows.entries()) {
        const upload = (from: number) =>
          Gpu.upload("f32", "layers tokens keyHeads keyDim", {
            layers: 1,
            tokens: length,
            keyHeads: kvHeads,
            keyDim: dim,
          }, floats(from, length * kvHeads * dim))
        const [k, v] = [yield* upload(seed + 2 * i + 1), yield* upload(seed + 2 * i + 2)]
        const given = Layout.givenAs(layout)
        const made = yield* Program.run(
          Effect.all({ keys: Tensor.cast(k, given), values: Tensor.cast(v, given) }),
        )
        const values = Tensor.rename(
          Tensor.rename(made.values, "keyHeads", "valueHeads"),
          "keyDim",
          "valueDim",
        )
        caches.push(
          yield* Effect.fromResult(
            KvCache.append(KvCache.empty(arena), { keys: made.keys, values }),
          ),
        )
      }
      const queries = yield* Gpu.upload("f32", "tokens numQHeads headDim", {
        tokens,
        numQHeads,
        headDim: dim,
      }, q)
      const { states, held } = yield* Program.run(Effect.all({
        states: Attention.prefill(queries, caches, counts, { ...mask.read, ...options }),
        held: Effect.all(caches.map((cache) => KvCache.gather(cache))),
      }))
      const [out, lse] = [yield* Gpu.read(states.out), yield* Gpu.read(states.lse)]
      const expected: Array<Attention.DenseOutput> = []
      let at = 0
      for (const [i, { length }] of rows.entries()) {
        const k = yield* Gpu.read(held[i]!.keys), v = yield* Gpu.read(held[i]!.values)
        const queryLen = counts[i]!
        expected.push(Attention.dense({
          q: q.subarray(at * numQHeads * dim, (at += queryLen) * numQHeads * dim),
          k,
          v,
          queryLen,
          contextLen: length,
          numQHeads,
          keyHeads: kvHeads,
          valueHeads: kvHeads,
          keyDim: dim,
          valueDim: dim,
        }, { ...mask.dense(i), ...options }))
      }
      return {
        out,
        lse,
        expected: {
          out: expected.flatMap(({ out }) => [...out]),
          lse: expected.flatMap(({ lse }) => [...lse]).map((x) => Math.max(x, LSE_EMPTY)),
        },
      }
    }))
  })

const close = (actual: Float32Array, expected: ReadonlyArray<number>, what: string): void => {
  assert.equal(actual.length, expected.length, what)
  for (const [i, b] of expected.entries()) {
    const a = actual[i]!
    assert.ok(Math.abs(a - b) <= 1e-4 * (1 + Math.abs(b)), `${what}[${i}]: ${a} is not ${b}`)
  }
}

for (const { name, layer } of adapters) {
  test(
    `Attention.prefill() is the oracle's answer for every head dim and group (${name})`,
    { timeout: 120_000 },
    () =>
      Effect.runPromise(
        Effect.provide(
          Effect.gen(function* () {
            for (const shape of shapes) {
              for (const one of fc.sample(given, 6)) {
                const { out, lse, expected } = yield* Effect.scoped(both(shape, one))
                const what = `${JSON.stringify(shape)} ${JSON.stringify(one)}`
                close(out, expected.out, `out of ${what}`)
                close(lse, expected.lse, `lse of ${what}`)
              }
            }
          }),
          layer,
        ),
      ),
  )
}
