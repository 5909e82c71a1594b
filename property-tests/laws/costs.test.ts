/** What persistence costs, counted: copies, references, blocks looked at. @module */
import { Effect } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Arena, Attention, KvCache, Recording, Window } from "../../mod.ts"
import { runs } from "../arbitraries/runs.ts"
import { watch } from "../models/counting.ts"
import { type Play, play } from "../models/play.ts"
import type { Value } from "../../testing/world/readings.ts"
import type { Guard } from "../../testing/world/world.ts"

const long = { timeout: 60_000 }

const blockSize = fc.integer({ min: 1, max: 17 })

/** One step of one token whose rows and attention nobody looks at. */
const token = (w: Play, lease: Guard, cache: KvCache): KvCache => {
  const one = <const A extends string>(axes: A) =>
    Recording.fresh("f32", axes, [1, 1, 1], new Float32Array(1))
  const body = (given: KvCache.Step) =>
    Effect.forEach(w.world.arena.layout.groups, (_, layer) =>
      Attention.attend(given, layer, {
        q: one("tokens numQHeads headDim"),
        k: one("tokens keyHeads headDim"),
        v: one("tokens valueHeads valueDim"),
      }, { window: Window.last(1) })).pipe(Effect.as({ value: 0 }))
  const started = w.start(lease, KvCache.step([cache], [1], body))
  while (w.world.device.waiting.length > 0) w.world.device.tick(0)
  return started.value().caches[0]!
}

test("KvCache.append() and step() along one chain copy nothing", long, () => {
  fc.assert(
    fc.property(
      blockSize,
      fc.array(
        fc.tuple(fc.integer({ min: 1, max: 9 }), fc.constantFrom("append", "realize", "step")),
        {
          maxLength: 10,
        },
      ),
      (blockSize, links) => {
        const w = play({ blockSize }, 100)
        const a = w.lease()
        let at: Value = w.empty
        for (const [n, how] of links) {
          at = how === "step" ? w.step(a, [[at, n]])[0]! : w.append(at, n)
          if (how === "realize") w.realize(a, at)
        }
        w.realize(a, at)
        assert.equal(w.copied(), 0)
        assert.deepEqual(w.free(), [100 - Math.ceil(at.cache.length / blockSize)])
        w.end()
      },
    ),
    runs(100),
  )
})

test(
  "KvCache.realize() of k children of one value copies at most (k − 1)(blockSize − 1) slots",
  long,
  () => {
    fc.assert(
      fc.property(
        blockSize,
        fc.nat(20),
        fc.integer({ min: 1, max: 6 }),
        fc.boolean(),
        (blockSize, length, k, steps) => {
          const w = play({ blockSize }, 100)
          const a = w.lease()
          const base = length === 0 ? w.empty : w.append(w.empty, length)
          w.realize(a, base)
          const many = Array.from({ length: k }, () => base)
          if (steps) w.step(a, many.map((value) => [value, 1] as const))
          else w.realize(a, ...many.map((value) => w.append(value, 1)))
          assert.ok(w.copied() <= (k - 1) * (blockSize - 1), `${w.copied()}`)
          w.end()
        },
      ),
      runs(100),
    )
  },
)

test("KvCache.step() that keeps fewer tokens than it claimed leaves no copy and no block behind", () => {
  const w = play({ blockSize: 16 }, 40)
  const a = w.lease()
  let [at] = w.step(a, [[w.empty, 5]])
  for (let i = 0; i < 20; i++) [at] = w.step(a, [[at!, 8, i % 9]])
  assert.equal(w.copied(), 0)
  assert.deepEqual(w.free(), [40 - Math.ceil(at!.cache.length / 16)])
  w.end()
})

test(
  "KvCache.step() of one token looks at as many blocks after 10,000 tokens as after 1,000",
  long,
  () => {
    const layout = {
      layers: 2,
      groups: [{ layers: [0], window: undefined }, { layers: [1], window: 64 }],
      blockSize: 16,
    }
    const w = play(layout, 700)
    const a = w.lease()
    const counts = watch(w.world.arena)
    const at = [1000, 10_000].map((length) => {
      const base = w.append(w.empty, length)
      w.start(a, KvCache.realize([base.cache]))
      w.world.device.tick(0)
      let cache = base.cache
      const { retained, looked } = counts
      for (let i = 0; i < 32; i++) cache = token(w, a, cache)
      return { retained: counts.retained - retained, looked: counts.looked - looked }
    })
    // Two fresh blocks in each group, each held by the effect and by the lease.
    assert.equal(at[0]!.retained, 8)
    assert.deepEqual(at[1], at[0])
    assert.ok(at[0]!.looked <= 32 * 2 * 8, `${at[0]!.looked}`)
  },
)

test("KvCache.realize() under another lease takes one reference a block, once", () => {
  const w = play({ blockSize: 16 }, 80)
  const [a, b] = [w.lease(), w.lease()]
  const x = w.append(w.empty, 1001)
  w.start(a, KvCache.realize([x.cache]))
  w.world.device.tick(0)
  const counts = watch(w.world.arena)
  const adopt = () => {
    const before = counts.retained
    w.start(b, KvCache.realize([x.cache]))
    w.world.device.tick(0)
    return counts.retained - before
  }
  const shared = () => Arena.usage(w.world.arena)[0]!.shared
  assert.equal(shared(), 0)
  assert.equal(adopt(), Math.ceil(1001 / 16))
  assert.equal(shared(), Math.ceil(1001 / 16))
  assert.equal(adopt(), 0)
})

test("KvCache.append() and a fork take no reference and look at no block", () => {
  const w = play({ blockSize: 16 }, 80)
  const a = w.lease()
  const x = w.append(w.empty, 100)
  w.realize(a, x)
  const counts = watch(w.world.arena)
  w.truncate(w.append(w.dropBefore(x, 7), 3), 50)
  assert.deepEqual(counts, { retained: 0, looked: 0 })
})

test(
  "KvCache.realize() of 64 forks costs as much on 10,000 tokens as on 100, whoever touched them last",
  long,
  () => {
    const costs = [100, 10_000].map((length) => {
      const w = play({ blockSize: 16 }, 1000)
      const [a, b] = [w.lease(), w.lease()]
      const x = w.append(w.empty, length)
      for (const lease of [a, b]) {
        w.start(lease, KvCache.realize([x.cache]))
        w.world.device.tick(0)
      }
      const counts = watch(w.world.arena)
      for (const lease of [a, b]) {
        const forks = Array.from({ length: 64 }, () => w.append(x, 1).cache)
        for (let i = 0; i < 2; i++) {
          w.start(lease, KvCache.realize(forks))
          w.world.device.tick(0)
        }
      }
      return { blocks: Math.ceil(length / 16), ...counts }
    })
    // The lease that comes back asks once about each block of the base, not once a fork.
    for (const { blocks, looked, retained } of costs) {
      assert.ok(retained <= 4 * 64, `${retained} references`)
      assert.ok(looked <= 4 * blocks + 2 * 64 * 12, `${looked} looks at ${blocks} blocks`)
    }
  },
)

test("KvCache.truncate() of an owed write owes only what is still seen", () => {
  const w = play()
  const a = w.lease()
  const x = w.append(w.empty, 9)
  assert.deepEqual([...w.truncate(x, 0).cache[Recording.Keep]()], [])
  const y = w.truncate(x, 1)
  w.realize(a, y)
  assert.deepEqual(w.free(), [7])
  w.realize(a, w.append(y, 1))
  assert.equal(w.copied(), 0)
  w.end()
})

test("KvCache.dropBefore() frees blocks of its own group, when the value is kept", () => {
  const layout = {
    layers: 3,
    groups: [{ layers: [1], window: undefined }, { layers: [0, 2], window: 8 }],
  }
  const w = play(layout, 40)
  const a = w.lease()
  const x = w.append(w.empty, 32)
  w.realize(a, x)
  assert.deepEqual(w.free(), [32, 32])
  const y = w.dropBefore(x, 25, 1)
  assert.deepEqual(w.dropBefore(y, 3, 1).cache.starts, [0, 25], "what was dropped stays away")
  assert.deepEqual(w.free(), [32, 32])
  w.keep(a, y)
  assert.deepEqual(w.free(), [32, 38])
  w.reads(a, y)
  w.reads(a, w.step(a, [[y, 1]])[0]!)
  w.end()
})
