/** Conversions in one arena: what is shared, and that it does not show. */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Gpu, Interchange, KvCache, Lease, Pages, Program } from "../../mod.ts"
import { layout } from "../../testing/world/configs.ts"
import * as Shelf from "../models/shelf.ts"
import * as World from "../../testing/world/world.ts"
import { appended, free, holds, read } from "../models/converted.ts"

test("Interchange shares blocks in one arena, and what is added to either side stays on it", () => {
  fc.assert(
    fc.property(
      layout,
      fc.nat(12),
      fc.nat(4),
      fc.boolean(),
      (drawn, length, more, settled) => {
        const shelf = Shelf.make({ ...drawn, capacity: 40 })
        Shelf.diverge(shelf)
        const { arena } = shelf.world
        const { blockSize } = arena.layout
        const made = appended(shelf, KvCache.empty(arena), length)
        if (settled) Shelf.lasting(shelf, KvCache.realize([made.next]))
        const numPages = Math.max(1, Math.ceil(length / blockSize)) + 1
        const pool = Result.getOrThrow(Pages.make(arena, numPages))
        const blocks = Array.from({ length: numPages }, (_, i) => numPages - 1 - i)
        Shelf.lasting(shelf, KvCache.realize([made.next]))
        const before = free(shelf)

        const there = Shelf.lasting(shelf, Interchange.toPages(made.next, { pages: pool, blocks }))
        const back = Shelf.lasting(
          shelf,
          Interchange.toCache({ pages: there.value, blocks, length }),
        )
        assert.deepEqual([there.copied, back.copied], [false, false])
        assert.deepEqual(free(shelf), before, "no block was taken")
        const held = (name: string) => {
          const { layout } = arena
          holds(name, layout, read(shelf, KvCache.gather(made.next)), made.ids)
          holds(name, layout, read(shelf, Pages.gather(there.value, blocks, length)), made.ids)
          holds(name, layout, read(shelf, KvCache.gather(back.value)), made.ids)
        }
        held("at once")

        // All three grow, in one transaction and on their own: none sees the others' rows.
        const grown = [made.next, back.value].map((cache) => appended(shelf, cache, more))
        Shelf.lasting(shelf, KvCache.realize(grown.map(({ next }) => next)))
        const last = Math.max(0, Math.ceil(length / blockSize) - 1)
        const offset = length - last * blockSize
        const count = Math.min(more, blockSize - offset)
        const ids = World.rows(shelf.world, count)
        const wider = Result.getOrThrow(
          Pages.write(there.value, World.uploaded(shelf.world, ids), [
            { page: blocks[last]!, offset, from: 0, count },
          ]),
        )
        held("after others grew")
        const whole = read(shelf, Pages.gather(wider, blocks, length + count))
        holds("pages", arena.layout, whole, [...made.ids, ...ids])
        for (const { next, ids } of grown) {
          holds("grown", arena.layout, read(shelf, KvCache.gather(next)), [...made.ids, ...ids])
        }
        // A lease may keep the converted value alone.
        Shelf.run(shelf, Lease.keep([back.value]))
        holds("kept", arena.layout, read(shelf, KvCache.gather(back.value)), made.ids)
        World.check(shelf.world)
        Shelf.end(shelf)
      },
    ),
    { numRuns: 120 },
  )
})

test("Interchange within one transaction is read and grown before it lands", () => {
  const shelf = Shelf.make({ layers: 2, keyHeads: 1, keyDim: 2, blockSize: 3 })
  const { arena } = shelf.world
  const pool = Result.getOrThrow(Pages.make(arena, 4))
  const made = appended(shelf, KvCache.empty(arena), 7)
  const ids = World.rows(shelf.world, 2)
  const rows = World.uploaded(shelf.world, ids)
  const { cache, gathered } = Shelf.lasting(
    shelf,
    Effect.gen(function* () {
      const { value: pages } = yield* Interchange.toPages(made.next, {
        pages: pool,
        blocks: [2, 0, 1],
      })
      const { value } = yield* Interchange.toCache({ pages, blocks: [2, 0, 1], length: 7 })
      const cache = yield* Effect.fromResult(KvCache.append(value, rows))
      return { cache, gathered: yield* KvCache.gather(cache) }
    }),
  )
  const got = Shelf.run(
    shelf,
    Effect.all({ keys: Gpu.read(gathered.keys), values: Gpu.read(gathered.values) }),
  )
  holds("inside", arena.layout, got, [...made.ids, ...ids])
  holds("outside", arena.layout, read(shelf, KvCache.gather(cache)), [...made.ids, ...ids])
  assert.deepEqual(free(shelf), [197])
  Shelf.end(shelf)
})

test("Interchange in a run that fails leaves its value stale and everything else as it was", () => {
  const shelf = Shelf.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 3 })
  const { arena } = shelf.world
  const pool = Result.getOrThrow(Pages.make(arena, 4))
  const made = appended(shelf, KvCache.empty(arena), 4)
  Shelf.lasting(shelf, KvCache.realize([made.next]))
  const before = World.picture(shelf.world)
  const leaked: Array<KvCache> = []
  const failed = Program.run(Effect.gen(function* () {
    const { value: pages } = yield* Interchange.toPages(made.next, { pages: pool, blocks: [0, 1] })
    const { value } = yield* Interchange.toCache({ pages, blocks: [0, 1], length: 4 })
    leaked.push(value, Pages.at(pages, 0))
    return yield* Effect.fail({ message: "no" })
  }))
  assert.equal(Shelf.run(shelf, Effect.flip(failed)).message, "no")
  assert.deepEqual(World.picture(shelf.world), before)
  for (const value of leaked) {
    assert.equal(
      Shelf.run(shelf, Effect.flip(Program.run(KvCache.gather(value)))).message,
      "Cannot read the cache: the step that made it did not succeed",
    )
  }
  holds("source", arena.layout, read(shelf, KvCache.gather(made.next)), made.ids)
  Shelf.end(shelf)
})

test("Interchange values that no lease holds are stale like any other", () => {
  const shelf = Shelf.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 3 })
  const { arena } = shelf.world
  const pool = Result.getOrThrow(Pages.make(arena, 4))
  const made = appended(shelf, KvCache.empty(arena), 4)
  const { value: pages } = Shelf.lasting(
    shelf,
    Interchange.toPages(made.next, { pages: pool, blocks: [0, 1] }),
  )
  Shelf.run(shelf, Lease.keep([]))
  assert.deepEqual(free(shelf), [200])
  const { _tag } = Shelf.run(
    shelf,
    Effect.flip(Program.run(Interchange.toCache({ pages, blocks: [0, 1], length: 4 }))),
  )
  assert.equal(_tag, "StaleCache")
  Shelf.end(shelf)
})
