/**
 * Does the price of a change grow with what is already there? An append, a fork and a step over caches of
 * many lengths: µs of each, which must be flat.
 *
 * - `append`: one token appended and placed, one run each
 * - `fork`: 64 forks of one value, one token each, placed in one run; each copies the 8 slots of the tail
 *   that it shares; µs a fork
 * - `step`: slots claimed for one token, the tables that kernels read, and the settlement; no launch
 *
 * @module
 */
import assert from "node:assert/strict"
import { Effect, Result } from "effect"
import { Arena, Gpu, KvCache, Layout, Lease, Program } from "../mod.ts"
import { sides } from "./measure.ts"
import type { Bench, Line } from "./report.ts"

const lengths = [256, 1024, 4096, 16_384, 65_536]
const blockSize = 16, dim = 4, forks = 64, appends = 64
const layout = Result.getOrThrow(Layout.make({ layers: 1, keyHeads: 1, keyDim: dim, blockSize }))

/** Rows of `tokens` tokens; the keys count from `from`. */
const rowsOf = (tokens: number, from: number) =>
  Effect.gen(function* () {
    const data = Float32Array.from({ length: tokens * dim }, (_, i) => from + Math.floor(i / dim))
    const sizes = { layers: 1, tokens, keyHeads: 1, keyDim: dim, valueHeads: 1, valueDim: dim }
    return {
      keys: yield* Gpu.upload("f32", "layers tokens keyHeads keyDim", sizes, data),
      values: yield* Gpu.upload("f32", "layers tokens valueHeads valueDim", sizes, data),
    }
  })

/** The first key of each token, read back. */
const keysOf = (cache: KvCache) =>
  Effect.scoped(Effect.gen(function* () {
    const { keys } = yield* Program.run(KvCache.gather(cache))
    return (yield* Gpu.read(keys)).filter((_, i) => i % dim === 0)
  }))

const flat = (name: string, each: Readonly<Record<string, number>>, per: number) =>
  Effect.sync((): ReadonlyArray<Line> => {
    const values = Object.values(each).map((ms) => 1000 * ms / per)
    const device = name === "step" ? "none" : "cpu"
    const params = { layers: 1, heads: 1, dim, blockSize }
    return [
      ...lengths.map((length, i): Line => ({
        name: `growth.${name}`,
        value: values[i]!,
        unit: "µs",
        device,
        params: { length, ...params },
      })),
      {
        name: `growth.${name}.flatness`,
        value: Math.max(...values) / Math.min(...values),
        unit: "max/min",
        device,
        params: { lengths: lengths.join(" "), ...params },
      },
    ]
  })

/** One value of each length, and what is measured on it. */
const subject = (length: number) =>
  Effect.gen(function* () {
    const arena = yield* Arena.make(layout, Math.ceil(length / blockSize) + 2 * forks)
    const lease = yield* Lease.make(arena)
    const under = Lease.under(lease)
    const prefix = yield* Effect.fromResult(
      KvCache.append(KvCache.empty(arena), yield* rowsOf(length - 8, 0)),
    )
    yield* Effect.scoped(under(Program.run(KvCache.realize([prefix]))))
    const one = yield* rowsOf(1, length - 8)
    const keep = under(Lease.keep([prefix]))

    const append = Effect.gen(function* () {
      let cache = prefix
      for (let i = 0; i < appends; i++) {
        cache = yield* Effect.fromResult(KvCache.append(cache, one))
        yield* Effect.scoped(under(Program.run(KvCache.realize([cache]))))
      }
      return cache
    })
    const fork = Effect.gen(function* () {
      const made = yield* Effect.fromResult(
        Result.all(Array.from({ length: forks }, () => KvCache.append(prefix, one))),
      )
      yield* Effect.scoped(under(Program.run(KvCache.realize(made))))
      return made
    })
    const step = Effect.gen(function* () {
      let cache = prefix
      for (let i = 0; i < appends; i++) {
        const next = yield* Effect.scoped(
          under(Program.run(KvCache.step([cache], [1], ({ written }) =>
            // No layer is written: only the host's part of a step is of interest here.
            Effect.sync(() => (written.add(0), { value: undefined }))))),
        )
        cache = next.caches[0]!
      }
      return cache
    })

    const expected = Float32Array.from({ length: length - 7 }, (_, i) => i)
    const read = (cache: KvCache) => under(keysOf(cache))
    assert.deepEqual((yield* read(yield* append)).slice(0, length - 7), expected)
    yield* keep
    const made = yield* fork
    assert.deepEqual(yield* read(made[0]!), expected)
    assert.deepEqual(yield* read(made[forks - 1]!), expected)
    assert.equal((yield* step).length, length - 8 + appends)
    yield* keep
    return { append, fork, step, keep }
  })

const program = Effect.gen(function* () {
  const subjects = yield* Effect.forEach(lengths, subject)
  const lines: Array<Line> = []
  for (const [name, per] of [["append", appends], ["fork", forks], ["step", appends]] as const) {
    const each = Object.fromEntries(
      lengths.map((length, i) => [`length ${length}`, subjects[i]!] as const)
        .map(([key, one]) => [key, { run: one[name], after: one.keep }]),
    )
    lines.push(...yield* flat(name, yield* sides({ warm: 10, count: 40 }, each), per))
  }
  return lines
})

/** µs of an append, a fork and a step by length. */
export const growth: Bench = {
  name: "growth",
  run: Effect.scoped(program).pipe(Effect.provide(Gpu.layerCpu()), Effect.orDie),
}
