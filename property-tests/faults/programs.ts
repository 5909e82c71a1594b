/** What faults and interruptions are tried on: every effect on caches, from an older value to numbers on the host. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import {
  Arena,
  Attention,
  ContinuousBatchingKvCache as View,
  ContinuousBatchingKvCacheCollection as Collection,
  Gpu,
  KvCache,
  Layout,
  Lease,
  type Pages,
  PageUtilities,
  Program,
  Recording,
  Tensor,
} from "../../mod.ts"
import { half, plain, rowsOf as tokenRows, tokens, viewOf } from "../models/batching.ts"
import {
  attend,
  gather,
  near,
  read,
  type Reading,
  rowsOf,
  type Value,
} from "../../testing/world/readings.ts"
import { record, upload } from "../../testing/world/storage.ts"
import { axes, poolOf } from "../views/combined.ts"
import { type Act, atomic, grown, readings, type Stage } from "./stage.ts"

/** One of them. */
export interface Case {
  readonly name: string
  /** Under the stage's lease; what it makes ends with its scope. */
  readonly act: (stage: Stage) => Act
}

/** Several caches at once: two that continue one tail, one that is rewritten, and rows that the run itself makes. */
const realised = ({ older: [, longer, fork], ...stage }: Stage): Act =>
  Effect.gen(function* () {
    const x = yield* grown(longer!, [20, 21])
    const y = yield* grown(longer!, [22])
    const given = yield* upload(longer!.cache.arena.layout, [23, 24])
    const z: Value = {
      cache: yield* Effect.fromResult(KvCache.write(fork!.cache, 1, given)),
      rows: [fork!.rows[0]!, 23, 24, ...fork!.rows.slice(3)],
    }
    const own = Effect.suspend(() =>
      Effect.fromResult(KvCache.append(x.cache, record(x.cache.arena.layout, [25])))
    )
    const made = yield* atomic(stage)(Program.run(Effect.flatMap(own, (cache) =>
      Effect.as(KvCache.realize([x.cache, y.cache, z.cache, cache]), cache))))
    const all = [x, y, z, { cache: made, rows: [...x.rows, 25] }]
    return yield* Effect.forEach(all, (value) =>
      readings(stage, gather(value)))
  })

/** A step of two rows that asks for a value inside and keeps less than it claimed. */
const stepped = ({ older: [, longer, fork], ...stage }: Stage): Act =>
  Effect.gen(function* () {
    const values = [longer!, fork!]
    const made = [[30, 31], [32]]
    const body = (step: KvCache.Step) =>
      Effect.gen(function* () {
        const two = Recording.fresh("f32", "n", [1], Float32Array.of(2))
        const [four] = yield* Program.fetch(yield* Tensor.mul(two, two))
        assert.equal(four, 4)
        const all: Array<Reading> = []
        for (let layer = 0; layer < step.arena.layout.layers; layer++) {
          all.push(...(yield* attend(step, layer, values, made)))
        }
        const last = all.at(-1)!
        const got = yield* Program.fetch(last.tensor)
        near(last.name, got, last.want, 1e-4)
        return { value: [...got], kept: [1, 1] }
      })
    const step = KvCache.step(values.map(({ cache }) => cache), made.map((ids) => ids.length), body)
    const { caches, value } = yield* atomic(stage)(Program.run(step))
    const next = caches.map((cache, i) => ({ cache, rows: [...values[i]!.rows, made[i]![0]!] }))
    return [value, yield* Effect.forEach(next, (one) => readings(stage, gather(one)))]
  })

/** An owed value: placed because it is read. */
const gathered = ({ older: [, , , owed], ...stage }: Stage): Act =>
  Effect.andThen(readings(stage, gather(owed!)), readings(stage, gather(owed!)))

/** Attention to placed and to owed values. */
const attended = ({ older: [first, , , owed], ...stage }: Stage): Act =>
  Effect.gen(function* () {
    const all = [yield* readings(stage, read(owed!, 0)), yield* readings(stage, read(first!, 1))]
    const { layout } = first!.cache.arena
    const q = Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0)
    const { out } = yield* atomic(stage)(Program.run(Effect.suspend(() => {
      const query = Recording.fresh("f32", "batch numQHeads headDim", [2, 1, 4], q)
      return Attention.decode(query, [first!.cache, owed!.cache], { layer: 0 })
    })))
    const got = yield* Gpu.read(out)
    const want = [first!, owed!].flatMap(({ cache, rows }, i) => [
      ...Attention.dense({
        q: [...q].slice(4 * i, 4 * i + 4),
        k: rowsOf(layout, rows, 0, "keys"),
        v: rowsOf(layout, rows, 0, "values"),
        ...{ queryLen: 1, contextLen: cache.length, numQHeads: 1 },
        ...{ keyHeads: 1, valueHeads: 1, keyDim: 4, valueDim: 3 },
      }).out,
    ])
    near("decode", got, want, 1e-4)
    return [...all, [...got]]
  })

const long = Result.getOrThrow(Layout.make({ layers: 1, keyHeads: 1, keyDim: 4, blockSize: 16 }))

/** An arena of its own, and a context so long that attention splits it. */
const split = (): Act =>
  Effect.gen(function* () {
    const arena = yield* Arena.make(long, 14)
    const ids = Array.from({ length: 200 }, (_, i) => i)
    const given = yield* upload(long, ids)
    const cache = yield* Effect.fromResult(KvCache.append(KvCache.empty(arena), given))
    const q = Float32Array.of(1, 0.5, -1, 2)
    const { out, lse } = yield* Lease.scoped(arena)(Effect.gen(function* () {
      const { out, lse } = yield* Program.run(Effect.suspend(() => {
        const query = Recording.fresh("f32", "batch numQHeads headDim", [1, 1, 4], q)
        return Attention.decode(query, [cache])
      }))
      return { out: yield* Gpu.read(out), lse: yield* Gpu.read(lse) }
    }))
    const want = Attention.dense({
      q: [...q],
      k: rowsOf(long, ids, 0, "keys"),
      v: rowsOf(long, ids, 0, "values"),
      ...{ queryLen: 1, contextLen: 200, numQHeads: 1 },
      ...{ keyHeads: 1, valueHeads: 1, keyDim: 4, valueDim: 4 },
    })
    near("split attention", out, want.out, 1e-4)
    near("split sums", lse, want.lse, 1e-4)
    return [[...out], [...lse]]
  })

/** A capture with a constant in it, replayed with other inputs; the second submit goes on from the first. */
const replayed = (): Act =>
  Effect.gen(function* () {
    const program = yield* Program.capture(
      { x: Program.tensor("f32", "n", { n: 5 }) },
      ({ x }) =>
        Effect.gen(function* () {
          const two = Recording.fresh("f32", "n", [5], Float32Array.of(2, 2, 2, 2, 2))
          return { y: yield* Tensor.mul(yield* Tensor.add(x, x), two) }
        }),
    )
    const seen: Array<ReadonlyArray<number>> = []
    for (const n of [1, 3]) {
      const x = Float32Array.of(n, 2, 3, 4, 5)
      const { y } = yield* Program.run(Program.replay(program, { x }))
      const got = [...yield* Gpu.read(y)]
      assert.deepEqual(got, [4 * n, 8, 12, 16, 20])
      seen.push(got)
    }
    return seen
  })

/** Continuous batching: an append, a store into it, and a load of both values. */
const batched = (): Act =>
  Effect.gen(function* () {
    const { numHeads, headSize, ...rest } = plain
    const empty = yield* Collection.make({
      ...rest,
      kvParams: { numHeads, headSize, isMla: false },
      arenaBlocks: 8,
      lookupTable: [2, 0],
      cacheLengths: [0, 0],
    })
    const given = tokens(plain, 0, 3)
    return yield* Lease.scoped(empty.pages.arena)(Effect.gen(function* () {
      const place = { bs: 0, head: 1, tok: 1, dim: 1 }
      const [before, after] = yield* Program.run(Effect.gen(function* () {
        const rows = tokenRows(plain, given)
        const held = yield* Effect.fromResult(Collection.append(empty, rows, [3, 0]))
        const view = viewOf(held, 1, "keys")
        const stored = yield* View.store(view, place, [7, 8])
        return [view, stored] as const
      }))
      const loaded = []
      for (const view of [before, after]) {
        loaded.push([...yield* Gpu.read(yield* Program.run(View.load(view, 2, place)))])
      }
      assert.deepEqual(loaded, [half(plain, given[1]!, 1, "keys").slice(5, 7), [7, 8]])
      return loaded
    }))
  })

/** Pages that are written by slices; the pages before stay as they were. */
const paged = (): Act =>
  Effect.gen(function* () {
    const sizes = { pageSize: 3, numPages: 2, numKvHeads: 1, headDim: 2, dtype: "f32" as const }
    const arena = yield* poolOf(sizes)
    const numbers = (n: number, from: number) =>
      Float32Array.from({ length: n * 4 }, (_, i) => from + i)
    const pool = yield* Gpu.upload(
      "f32",
      axes,
      { tokens: 6, combinedHeads: 2, headDim: 2 },
      numbers(6, 0),
    )
    const fresh = yield* Gpu.upload(
      "f32",
      axes,
      { tokens: 2, combinedHeads: 2, headDim: 2 },
      numbers(2, 100),
    )
    return yield* Lease.scoped(arena)(Effect.gen(function* () {
      const pages = yield* Effect.fromResult(PageUtilities.fromDense(arena, pool))
      const next = yield* Effect.fromResult(
        PageUtilities.kvCacheUpdate(fresh, [[4], [0], [2]], pages, 1, { pageSize: 3 }),
      )
      const dense = (of: Pages) =>
        Effect.scoped(Effect.flatMap(Program.run(PageUtilities.toDense(of)), Gpu.read))
      const [after, before] = [[...yield* dense(next)], [...yield* dense(pages)]]
      assert.deepEqual(before, [...numbers(6, 0)])
      assert.deepEqual(after, [...numbers(6, 0)].map((x, i) => i < 16 ? x : 100 + i - 16))
      return [after, before]
    }))
  })

/** Those that need no model. */
export const cases: ReadonlyArray<Case> = [
  { name: "realise", act: realised },
  { name: "step", act: stepped },
  { name: "gather", act: gathered },
  { name: "attend", act: attended },
  { name: "split", act: split },
  { name: "replay", act: replayed },
  { name: "batch", act: batched },
  { name: "pages", act: paged },
]
