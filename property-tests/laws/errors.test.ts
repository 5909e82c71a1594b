/** Law 5: a caller's mistake is a typed error that says what is wrong in numbers, and changes nothing. @module */
import { Effect } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Attention, Gpu, KvCache, type Layout, Lease, Program, Recording } from "../../mod.ts"
import { type Act, play } from "../models/play.ts"
import { fails, refused } from "../models/refusals.ts"
import { record } from "../../testing/world/storage.ts"
import * as World from "../../testing/world/world.ts"

const two = {
  layers: 2,
  groups: [{ layers: [0], window: undefined }, { layers: [1], window: 4 }],
}

test("KvCache.append() fails with DTypeMismatch or ShapeMismatch for rows that do not fit", () => {
  const w = play({ keyHeads: 2, keyDim: 3, valueDim: 5 })
  const { layout } = w.world.arena
  const refuse = (other: Layout, message: string): void =>
    refused(KvCache.append(w.empty.cache, record(other, [1, 2])), message)
  refuse(
    { ...layout, dtype: "f16" },
    "Cannot use rows.keys as f32: it is f16; Tensor.cast converts it",
  )
  refuse({ ...layout, layers: 4 }, `Cannot bind axis "layers" of rows.keys to 1: it is 4`)
  refuse({ ...layout, keyHeads: 1 }, `Cannot bind axis "keyHeads" of rows.keys to 2: it is 1`)
  refuse({ ...layout, keyDim: 4 }, `Cannot bind axis "keyDim" of rows.keys to 3: it is 4`)
  refuse({ ...layout, valueHeads: 9 }, `Cannot bind axis "valueHeads" of rows.values to 2: it is 9`)
  refuse({ ...layout, valueDim: 4 }, `Cannot bind axis "valueDim" of rows.values to 5: it is 4`)
  const { keys } = record(layout, [1, 2])
  const { values } = record(layout, [1, 2, 3])
  refused(
    KvCache.append(w.empty.cache, { keys, values }),
    `Cannot bind axis "tokens" of rows.values to 2: it is 3`,
  )
  w.end()
})

test("KvCache.append() and step() refuse more tokens than a cache may hold", () => {
  const w = play({ capacity: 10 })
  const a = w.lease()
  const x = w.append(w.empty, 9)
  const message = "Cannot grow the cache as it needs 11 tokens: its capacity is 10"
  refused(KvCache.append(x.cache, record(w.world.arena.layout, [1, 2])), message)
  fails(w, a, KvCache.step([x.cache], [2], () => Effect.succeed({ value: 0 })), message)
  w.end()
})

test("KvCache.write(), truncate() and dropBefore() refuse positions outside of what is seen", () => {
  const w = play(two)
  const x = w.dropBefore(w.append(w.empty, 6), 2)
  const rows = record(w.world.arena.layout, [1])
  const need = "a whole position from 2 (the first visible) to 6 (the length)"
  refused(KvCache.write(x.cache, 7, rows), `Cannot take 7 as at: it must be ${need}`)
  refused(KvCache.write(x.cache, 1, rows), `Cannot take 1 as at: it must be ${need}`)
  refused(KvCache.truncate(x.cache, 1), `Cannot take 1 as length: it must be ${need}`)
  refused(KvCache.truncate(x.cache, 2.5), `Cannot take 2.5 as length: it must be ${need}`)
  refused(
    KvCache.dropBefore(x.cache, 7, 0),
    "Cannot take 7 as position: it must be a whole position from 0 to 6 (the length)",
  )
  refused(
    KvCache.dropBefore(x.cache, 1, 2),
    "Cannot take 2 as group: it must be a layer group from 0 to 1",
  )
  w.end()
})

test("KvCache.realize() that needs more blocks than are free says how many, and takes none", () => {
  const w = play({}, 3)
  const a = w.lease()
  w.realize(a, w.append(w.empty, 4))
  fails(
    w,
    a,
    KvCache.realize([w.append(w.empty, 9).cache]),
    "Cannot place rows as they need 3 more blocks of layer group 0: 2 free of 3; " +
      "close a lease, keep fewer values or make a larger arena",
  )
  w.end()
})

test("KvCache.realize() fails for the layer group that lacks blocks", () => {
  const w = play(two, [3, 1])
  const start = "Cannot place rows as they need 2 more blocks of layer group 1: 1 free of 1"
  const end = "close a lease, keep fewer values or make a larger arena"
  const [x] = w.step(w.lease(), [[w.empty, 4]])
  const y = w.dropBefore(x!, 4, 1)
  w.world.guards.forEach((lease) => w.keep(lease, y))
  assert.deepEqual(w.free(), [2, 1])
  fails(
    w,
    w.lease(),
    KvCache.realize([w.append(y, 1).cache, w.append(y, 1).cache]),
    `${start}; ${end}`,
  )
  w.end()
})

test("KvCache.gather() of a value that nobody holds names the block and both generations", () => {
  const w = play()
  const a = w.lease()
  const x = w.append(w.empty, 1)
  w.realize(a, x)
  w.keep(a)
  fails(
    w,
    a,
    KvCache.gather(x.cache),
    "Cannot read the cache as it needs generation 0 of block 0 (layer group 0): " +
      "the block is at generation 1; hold values by a lease",
  )
  w.end()
})

test("KvCache.gather() of what a failed step would have made says so", () => {
  const w = play()
  const a = w.lease()
  let leaked = w.empty.cache
  const act = KvCache.step(
    [w.empty.cache],
    [1],
    (given) => Effect.as(w.attend(given, [w.empty], [[0]]), { value: 0 }),
  ).pipe(
    Effect.tap(({ caches }) => Effect.sync(() => leaked = caches[0]!)),
    Effect.andThen(Effect.fail("no" as const)),
  )
  assert.throws(() => w.run(a, act).value())
  fails(
    w,
    a,
    KvCache.gather(leaked),
    "Cannot read the cache: the step that made it did not succeed",
  )
  w.end()
})

test("every effect on caches under a closed lease says what it could not do", () => {
  const w = play()
  const a = w.lease()
  World.close(a)
  const { cache } = w.empty
  const q = () => Recording.fresh("f32", "batch numQHeads headDim", [1, 1, 1], new Float32Array(1))
  const says = (act: Act<unknown>, doing: string): void =>
    fails(w, a, act, `Cannot ${doing} as it needs an open lease: the lease is closed`)
  says(KvCache.realize([cache]), "realise caches")
  says(KvCache.gather(cache), "gather a cache")
  says(KvCache.step([cache], [1], () => Effect.succeed({ value: 0 })), "step")
  says(Attention.decode(q(), [cache]), "attend to caches")
  says(Lease.keep([cache]), "keep values")
  w.end()
})

test("KvCache.realize() refuses a cache of another arena", () => {
  const [w, other] = [play(), play()]
  fails(
    w,
    w.lease(),
    KvCache.realize([other.empty.cache]),
    "Cannot take one of another arena as a cache: it must be a cache of the arena that the lease is of",
  )
  w.end()
  other.end()
})

test("KvCache.step() refuses counts and kept that fit no row, and layers left out", () => {
  const w = play(two)
  const a = w.lease()
  const { cache } = w.empty
  const step = (counts: ReadonlyArray<number>, kept?: ReadonlyArray<number>) =>
    KvCache.step([cache, cache], counts, (given) =>
      Effect.as(
        w.attend(given, [w.empty, w.empty], counts.map((n) => World.rows(w.world, n))),
        { value: 0, ...(kept === undefined ? {} : { kept }) },
      ))
  const kept = "it must be a whole number from 0 to 2, the tokens of the row"
  fails(w, a, step([1]), "Cannot take 1 as counts: it must be 2 numbers, one for each cache")
  fails(w, a, step([1, -1]), "Cannot take -1 as counts[1]: it must be a whole number, at least 0")
  fails(w, a, step([2, 2], [2, 3]), `Cannot take 3 as kept[1]: ${kept}`)
  fails(w, a, step([2, 2], [2]), `Cannot take nothing as kept[1]: ${kept}`)
  fails(
    w,
    a,
    KvCache.step([cache], [1], () => Effect.succeed({ value: 0 })),
    "Cannot take 0 as layers written by the step: it must be 2, every layer of the arena",
  )
  w.end()
})

test("a cache whose arena is closed cannot be read", () => {
  const w = play()
  const { arena } = w.world
  const { cache } = w.empty
  w.end()
  const gone = Program.run(Effect.andThen(KvCache.realize([cache]), KvCache.gather(cache)))
  const read = Effect.scoped(Lease.scoped(arena)(gone))
  const { message } = Effect.runSync(Effect.flip(Effect.provide(read, Gpu.layerCpu())))
  assert.equal(message, "Cannot read gather_f32.pool: its arena is closed")
})
