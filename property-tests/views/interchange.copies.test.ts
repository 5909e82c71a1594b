/** Conversions into other arenas, orders of axes, and what is refused. */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  ContinuousBatchingKvCacheCollection as Collection,
  Gpu,
  Interchange,
  KvCache,
  type Layout,
  Lease,
  Pages,
  Program,
  Tensor,
} from "../../mod.ts"
import { near, rowsOf } from "../../testing/world/readings.ts"
import * as Shelf from "../models/shelf.ts"
import * as World from "../../testing/world/world.ts"
import { appended, free, holds, read, second, under } from "../models/converted.ts"

test("Interchange copies into another arena, of other blocks, placement or storage, and says so", async () => {
  const base = { layers: 2, keyHeads: 2, keyDim: 3 }
  const others: ReadonlyArray<Layout.Options> = [
    { ...base, blockSize: 4 },
    { ...base, blockSize: 5, placement: "fused" },
    { ...base, blockSize: 1, placement: "interleaved", dtype: "f16" },
    { ...base, blockSize: 32, placement: "fused", dtype: "bf16" },
  ]
  for (const options of others) {
    const shelf = Shelf.make({ ...base, blockSize: 4 })
    const other = second(shelf, options)
    const made = appended(shelf, KvCache.empty(shelf.world.arena), 10)
    const cast = { cast: true }
    const copy = Shelf.lasting(shelf, Interchange.toArena(made.next, other, cast))
    const pages = Result.getOrThrow(Pages.make(other, 12))
    const blocks = Array.from({ length: 12 }, (_, i) => 11 - i)
    const paged = Shelf.lasting(shelf, Interchange.toPages(made.next, { pages, blocks }, cast))
    assert.deepEqual([copy.copied, paged.copied], [true, true])
    const got = await under(
      shelf,
      other,
      Effect.gen(function* () {
        const both = [KvCache.gather(copy.value), Pages.gather(paged.value, blocks, 10)]
        return yield* Effect.forEach(both, (gather) =>
          Effect.flatMap(
            Program.run(gather),
            ({ keys, values }) => Effect.all({ keys: Gpu.read(keys), values: Gpu.read(values) }),
          ))
      }),
    )
    for (const one of got) holds("copy", other.layout, one, made.ids)
    const short = appended(shelf, KvCache.empty(shelf.world.arena), 1)
    const target = { pages: paged.value, blocks }
    const { value } = Shelf.lasting(shelf, Interchange.toPages(short.next, target, cast))
    assert.equal(Pages.at(value, 11).length, 1, "the page keeps no older rows")
    holds("source", shelf.world.arena.layout, read(shelf, KvCache.gather(made.next)), made.ids)
    Shelf.end(shelf)
  }
})

test("Interchange of a row of a batch shares its block, and a copy joins keys with their values", async () => {
  const shelf = Shelf.make({
    layers: 2,
    keyHeads: 1,
    keyDim: 4,
    blockSize: 6,
    placement: "fused",
  })
  const { arena } = shelf.world
  const pages = Result.getOrThrow(Pages.make(arena, 3))
  const empty = Result.getOrThrow(
    Collection.of(pages, { lookupTable: [2, 0], cacheLengths: [0, 0] }),
  )
  const made = appended(shelf, KvCache.empty(arena), 5)
  const filled = Shelf.lasting(shelf, Collection.withRow(empty, 0, made.next))
  assert.equal(filled.copied, false)
  assert.deepEqual(filled.value.cacheLengths, [5, 0])
  assert.equal(filled.value.maxCacheLength, 5)
  const row = Result.getOrThrow(Collection.row(filled.value, 0))
  assert.deepEqual([row.blocks, row.length], [[2], 5])
  const back = Shelf.lasting(shelf, Interchange.toCache(row))
  assert.equal(back.copied, false)
  holds("row", arena.layout, read(shelf, KvCache.gather(back.value)), made.ids)
  assert.deepEqual(free(shelf), [199])

  const latent = second(shelf, {
    ...arena.layout,
    placement: "latent",
    groups: arena.layout.groups,
  })
  const refused = Program.run(Interchange.toArena(made.next, latent))
  assert.equal(
    Shelf.run(shelf, Effect.flip(refused)).message,
    'Cannot use a cache whose placement is "fused": "latent", where values are part of the keys, is needed',
  )
  const keys = World.uploaded(shelf.world, made.ids).keys
  const cache = Result.getOrThrow(KvCache.append(KvCache.empty(latent), { latent: keys }))
  const twin = second(shelf, { ...latent.layout, blockSize: 2 })
  const wide = second(shelf, arena.layout)
  await under(
    shelf,
    latent,
    Effect.gen(function* () {
      const copies = yield* Program.run(
        Effect.all([Interchange.toArena(cache, twin), Interchange.toArena(cache, wide)]),
      )
      for (const { value, copied } of copies) {
        assert.equal(copied, true)
        yield* Lease.scoped(value.arena)(Effect.gen(function* () {
          const got = yield* Program.run(KvCache.gather(value))
          const want = Array.from(
            { length: 2 },
            (_, layer) => rowsOf(arena.layout, made.ids, layer, "keys"),
          ).flat()
          near("keys", yield* Gpu.read(got.keys), want, 0)
          near("values are the keys", yield* Gpu.read(got.values), want, 0)
        }))
      }
    }),
  )
  Shelf.end(shelf)
})

test("Interchange.order() goes by the names of axes, and copies only where the order differs", () => {
  const shelf = Shelf.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 4 })
  const { same, turned, numbers } = Shelf.run(
    shelf,
    Effect.gen(function* () {
      const got = yield* Program.run(Effect.gen(function* () {
        const x = yield* Tensor.constant(
          "f32",
          "heads tokens dim",
          { heads: 2, tokens: 3, dim: 1 },
          Float32Array.of(0, 1, 2, 3, 4, 5),
        )
        return {
          same: yield* Interchange.order(x, "heads tokens dim"),
          turned: yield* Interchange.order(x, "tokens heads dim"),
        }
      }))
      return { ...got, numbers: [...yield* Gpu.read(got.turned.value)] }
    }),
  )
  assert.equal(same.copied, false)
  assert.equal(turned.copied, true)
  assert.deepEqual([turned.value.axes, turned.value.shape], ["tokens heads dim", [3, 2, 1]])
  assert.deepEqual(numbers, [0, 3, 1, 4, 2, 5])
  Shelf.end(shelf)
})

test("Interchange refuses what does not fit, and leaves all values as they were", () => {
  const base = { layers: 1, keyHeads: 1, keyDim: 2, blockSize: 4 }
  const shelf = Shelf.make(base)
  const { arena } = shelf.world
  const pages = Result.getOrThrow(Pages.make(arena, 4))
  const made = appended(shelf, KvCache.empty(arena), 6)
  Shelf.lasting(shelf, KvCache.realize([made.next]))
  const full = Shelf.lasting(shelf, Interchange.toPages(made.next, { pages, blocks: [1, 3] })).value
  const before = World.picture(shelf.world)
  const says = <A, E extends { readonly message: string }>(
    body: Shelf.Body<A, E>,
    message: string,
  ) => {
    const failed = Shelf.run(shelf, Effect.flip(Program.run(body)))
    assert.equal((failed as { readonly message: string }).message, `Cannot ${message}`)
    assert.deepEqual(World.picture(shelf.world), before)
  }
  says(
    Interchange.toPages(made.next, { pages, blocks: [1] }),
    "grow the cache as it needs 6 tokens: its capacity is 4",
  )
  says(
    Interchange.toPages(made.next, { pages, blocks: [1, 1] }),
    "take block 1: it belongs to this row already; give a free block",
  )
  says(
    Interchange.toPages(made.next, { pages, blocks: [1, 4] }),
    "take 4 as blocks[1]: it must be a page from 0 to 3",
  )
  const dropped = Result.getOrThrow(KvCache.dropBefore(made.next, 2, 0))
  says(
    Interchange.toPages(dropped, { pages, blocks: [1, 2] }),
    "take 2 as the first position the cache sees: it must be 0: pages hold a sequence from there",
  )
  says(
    Interchange.toCache({ pages: full, blocks: [1, 3], length: 7 }),
    "take 3 as tokens read of page 3: it must be at most 2, the rows written to it",
  )
  says(
    Interchange.toCache({ pages: full, blocks: [1, -1], length: 6 }),
    "take -1 as block 1 of 6 tokens: it must be a page from 0 to 3",
  )
  says(
    Interchange.toCache({ pages: full, blocks: [1], length: -1 }),
    "take -1 as length: it must be a whole number, at least 0",
  )
  const other = (options: Partial<Layout.Options>) => second(shelf, { ...base, ...options })
  says(
    Interchange.toArena(made.next, other({ keyDim: 3 })),
    "use a cache whose keyDim is 2: 3 is needed",
  )
  says(
    Interchange.toArena(made.next, other({ dtype: "f16" })),
    "use a cache as f16: it is f32; { cast: true } rounds it",
  )
  says(
    Interchange.toArena(dropped, other({})),
    "take 2 as the first position the cache sees: it must be 0: a copy has all positions",
  )
  Shelf.end(shelf)
})
