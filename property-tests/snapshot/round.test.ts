/** What is restored is what was saved, bit for bit, wherever it lies. @module */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Arena, BadSnapshot, Gpu, KvCache, Layout, Lease, Program, Snapshot } from "../../mod.ts"
import { runs } from "../arbitraries/runs.ts"
import * as Shelf from "../models/shelf.ts"
import * as World from "../../testing/world/world.ts"
import { bytesOf, cacheOf, cases, tight } from "./shelves.ts"

test("Snapshot.restore() gives every bit that each group sees, in any blocks and placement", () => {
  fc.assert(
    fc.property(cases, (given) => {
      const { layout, ids, starts, blockTokens } = given
      const from = Shelf.make(layout)
      const cache = cacheOf(from, given)
      const bytes = bytesOf(from, cache, { tokens: ids, model: "m", note: "n", blockTokens })
      const to = tight(given)
      const snapshot = Result.getOrThrow(Snapshot.decode(bytes))
      const restored = Shelf.run(to, Snapshot.restore(to.world.arena, snapshot, { model: "m" }))
      assert.deepEqual([restored.tokens, restored.note], [ids, "n"])
      assert.deepEqual(restored.cache.starts, starts)
      assert.equal(restored.cache.length, ids.length)
      to.world.values.push({ cache: restored.cache, rows: ids })
      to.guard.whole.add(restored.cache)
      World.check(to.world) // each visible slot of each layer holds the bits of its row
      assert.deepEqual(Shelf.gather(to, restored.cache), Shelf.gather(from, cache))
      assert.deepEqual(
        bytesOf(to, restored.cache, { tokens: ids, model: "m", note: "n", blockTokens }),
        bytes,
      )
      Shelf.end(from)
      Shelf.end(to)
    }),
    runs(300),
  )
})

test("Snapshot.restore(): what is restored grows and forks as what was saved does", () => {
  const more = fc.array(fc.nat(1000), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(cases, more, more, (drawn, left, right) => {
      const given = { ...drawn, ids: drawn.ids.slice(0, 18) }
      const starts = given.starts.map((start) => Math.min(start, given.ids.length))
      const from = Shelf.make(given.layout)
      const bytes = bytesOf(from, cacheOf(from, { ...given, starts }), {
        blockTokens: given.blockTokens,
      })
      const to = tight({ ...given, starts }, 40)
      const snapshot = Result.getOrThrow(Snapshot.decode(bytes))
      const { cache } = Shelf.run(to, Snapshot.restore(to.world.arena, snapshot))
      for (const ids of [left, right]) {
        const grown = Result.getOrThrow(KvCache.append(cache, World.uploaded(to.world, ids)))
        Shelf.run(to, Program.run(KvCache.realize([grown])))
        to.world.values.push({ cache: grown, rows: [...given.ids, ...ids] })
        to.guard.whole.add(grown)
        World.check(to.world)
      }
      Shelf.end(from)
      Shelf.end(to)
    }),
    runs(200),
  )
})

test("Snapshot.restore() of keys that hold their values reads as it was", () =>
  Effect.runPromise(Effect.provide(
    Effect.scoped(Effect.gen(function* () {
      for (const dtype of ["f32", "f16", "bf16", "int8"] as const) {
        const sizes = {
          layers: 2,
          keyHeads: 1,
          keyDim: 5,
          valueDim: 3,
          placement: "latent",
        } as const
        const layout = Result.getOrThrow(Layout.make({ ...sizes, blockSize: 3, dtype }))
        const arena = yield* Arena.make(layout, 8)
        const bits = Uint16Array.from({ length: 70 }, (_, i) => 0x3f00 + 7 * i % 251)
        const data = Layout.givenAs(layout) === "f32" ? Float32Array.from(bits) : bits
        yield* Lease.scoped(arena)(Effect.gen(function* () {
          const shape = { layers: 2, tokens: 7, keyHeads: 1, keyDim: 5 }
          const axes = "layers tokens keyHeads keyDim"
          const latent = yield* Gpu.upload(Layout.givenAs(layout), axes, shape, data)
          const cache = Result.getOrThrow(KvCache.append(KvCache.empty(arena), { latent }))
          const read = (one: KvCache) =>
            Effect.flatMap(
              Program.run(KvCache.gather(one)),
              ({ keys, values }) => Effect.all([Gpu.read(keys), Gpu.read(values)]),
            )
          const snapshot = yield* Snapshot.take(cache, { blockTokens: 4 })
          const { cache: again } = yield* Snapshot.restore(arena, snapshot)
          assert.deepEqual(yield* read(again), yield* read(cache))
        }))
      }
    })),
    Gpu.layerCpu({ poison: true }),
  )))

test("Snapshot.restore() into blocks that were used before lives as long as a lease holds it", () => {
  const shelf = Shelf.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 4 })
  const { arena } = shelf.world
  const snapshot = Shelf.run(shelf, Snapshot.take(Shelf.cacheOf(shelf, [1, 2, 3, 4, 5])))
  Shelf.run(shelf, Lease.keep([]))
  const { cache } = Shelf.run(shelf, Snapshot.restore(arena, snapshot))
  const before = Shelf.gather(shelf, cache)
  // Whoever reads it last and closes leaves nothing but generations to tell that it is alive.
  Shelf.run(shelf, Lease.scoped(arena)(Program.run(KvCache.gather(cache))))
  assert.deepEqual(Shelf.gather(shelf, cache), before)
  Shelf.end(shelf)
})

test("Snapshot.restore() that lacks one block fails with OutOfBlocks and takes none", () => {
  const layout = { layers: 1, keyHeads: 1, keyDim: 2, blockSize: 4 }
  const [from, to] = [Shelf.make(layout), Shelf.make(layout)]
  const snapshot = Shelf.run(from, Snapshot.take(Shelf.cacheOf(from, [1, 2, 3, 4, 5, 6, 7, 8, 9])))
  const ids = Array.from({ length: 4 * 198 }, (_, i) => i)
  Shelf.run(to, Program.run(KvCache.realize([Shelf.cacheOf(to, ids)])))
  const before = World.picture(to.world)
  const error = Shelf.run(to, Effect.flip(Snapshot.restore(to.world.arena, snapshot)))
  assert.match(error.message, /^Cannot place rows as they need 3 more blocks .*: 2 free of 200/)
  assert.deepEqual(World.picture(to.world), before, "law 4")
  Shelf.end(from)
  Shelf.end(to)
})

test("Snapshot.restore() that fails at any block leaves the arena as it was", () => {
  fc.assert(
    fc.property(cases, fc.nat(), (given, at) => {
      const from = Shelf.make(given.layout)
      const { blockTokens } = given
      const snapshot = Shelf.run(from, Snapshot.take(cacheOf(from, given), { blockTokens }))
      const total = snapshot.header.blocks.flat().length
      fc.pre(total > 0)
      const to = tight(given)
      const before = World.picture(to.world)
      const bad = new BadSnapshot({ file: "a test", offset: at, reason: "it fails" })
      let calls = 0
      const block: Snapshot["block"] = (group, i) =>
        calls++ === at % total ? Effect.fail(bad) : snapshot.block(group, i)
      const failed = Snapshot.restore(to.world.arena, { ...snapshot, block })
      assert.equal(Shelf.run(to, Effect.flip(failed)), bad)
      assert.deepEqual(World.picture(to.world), before, "law 4")
      Shelf.end(from)
      Shelf.end(to)
    }),
    runs(100),
  )
})
