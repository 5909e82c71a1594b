/** Snapshots in a folder: only new blocks are written, and a machine may stop at any operation. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { Buffer } from "node:buffer"
import { test } from "node:test"
import { BadSnapshot, Gpu, KvCache, Program, Snapshot, SnapshotNotSaved } from "../../mod.ts"
import * as Shelf from "../models/shelf.ts"
import * as Disk from "./disk.ts"

const layout = {
  layers: 3,
  groups: [{ layers: [0, 2], window: undefined }, { layers: [1], window: undefined }],
  keyHeads: 1,
  keyDim: 2,
  blockSize: 3,
  dtype: "bf16" as const,
}

const ids = (n: number): ReadonlyArray<number> => Array.from({ length: n }, (_, i) => i + 7)

const on = (disk: Disk.Disk) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, Snapshot.Files.Service, disk.files)

const save = (shelf: Shelf.Shelf, disk: Disk.Disk, cache: KvCache, name = "a", blockTokens = 4) =>
  Shelf.run(
    shelf,
    Effect.result(
      on(disk)(Snapshot.save("f", name, cache, { tokens: ids(cache.length), blockTokens })),
    ),
  )

/** All of a snapshot in a folder, read and checked. */
const read = (disk: Disk.Disk, name = "a") =>
  Effect.runSync(
    Effect.result(on(disk)(Effect.flatMap(Snapshot.open("f", name), Snapshot.encode))),
  )

test("Snapshot.save() of a longer cache writes the blocks that are new, and nothing else", () => {
  const shelf = Shelf.make(layout)
  const disk = Disk.make()
  const counts = [10, 14, 14, 9, 16].map((length) => {
    const { blocks, newBlocks, bytes, newBytes } = Result.getOrThrow(
      save(shelf, disk, Shelf.cacheOf(shelf, ids(length))),
    )
    assert.ok(newBytes <= bytes)
    return [blocks, newBlocks]
  })
  // Groups of 10 tokens: 4, 4, 2. Of 14: 4, 4, 4, 2. Of 9: 4, 4, 1. Of 16: 4, 4, 4, 4.
  assert.deepEqual(counts, [[6, 6], [8, 4], [8, 0], [6, 2], [8, 2]])
  const written = disk.log.filter((line) => line.startsWith("write f/blocks/")).length
  assert.equal(written, 14)
  Shelf.end(shelf)
})

test("Snapshot.open() reads each name's own snapshot, and prune() takes what none names", () => {
  const shelf = Shelf.make(layout)
  const disk = Disk.make()
  const caches = [4, 10, 12].map((n) => Shelf.cacheOf(shelf, ids(n)))
  for (const [i, cache] of caches.entries()) Result.getOrThrow(save(shelf, disk, cache, `n${i}`))
  Result.getOrThrow(save(shelf, disk, caches[0]!, "n2"))
  Effect.runSync(disk.files.write("f/x.kvcache.partial", new Uint8Array(3)))
  Effect.runSync(disk.files.write("f/blocks/y.partial", new Uint8Array(3)))
  assert.deepEqual(Effect.runSync(on(disk)(Snapshot.names("f"))), ["n0", "n1", "n2"])
  const before = ["n0", "n1", "n2"].map((name) => Result.getOrThrow(read(disk, name)))
  assert.deepEqual(before[0], before[2])
  // Of 12 tokens: the third block of each of two groups. And what a crash may leave: two more.
  assert.equal(Effect.runSync(on(disk)(Snapshot.prune("f"))), 4)
  assert.equal(Effect.runSync(on(disk)(Snapshot.prune("f"))), 0)
  assert.deepEqual(["n0", "n1", "n2"].map((name) => Result.getOrThrow(read(disk, name))), before)
  disk.set("f/n1.kvcache", new Uint8Array(5))
  assert.ok(Effect.runSync(Effect.flip(on(disk)(Snapshot.prune("f")))) instanceof BadSnapshot)
  Shelf.end(shelf)
})

test("Snapshot.open() finds damage in every file, and save() repairs a damaged block", () => {
  const shelf = Shelf.make(layout)
  const disk = Disk.make()
  const cache = Shelf.cacheOf(shelf, ids(10))
  Result.getOrThrow(save(shelf, disk, cache))
  const whole = Result.getOrThrow(read(disk))
  for (const path of disk.paths()) {
    const bytes = disk.get(path)!
    const damages = [
      ...Array.from({ length: bytes.length }, (_, n) => bytes.slice(0, n)),
      ...Array.from({ length: bytes.length }, (_, i) => bytes.with(i, bytes[i]! ^ (1 << i % 8))),
      Uint8Array.from([...bytes, 0]),
    ]
    for (const damaged of damages) {
      disk.set(path, damaged)
      const found = read(disk)
      assert.ok(Result.isFailure(found) && found.failure instanceof BadSnapshot, path)
      assert.equal(found.failure.file, path)
    }
    const { newBlocks } = Result.getOrThrow(save(shelf, disk, cache))
    assert.equal(newBlocks, path.startsWith("f/blocks/") ? 1 : 0)
    assert.deepEqual(Result.getOrThrow(read(disk)), whole)
  }
  Effect.runSync(disk.files.remove(disk.paths().find((path) => path.startsWith("f/blocks/"))!))
  const gone = read(disk)
  assert.ok(Result.isFailure(gone))
  assert.match(
    gone.failure.message,
    /^Cannot restore the snapshot f\/blocks\/[0-9a-f]{64} at byte 0: there is no such file$/,
  )
  Shelf.end(shelf)
})

test("Snapshot.save() that is stopped at any operation leaves the old snapshot or the new one", () => {
  const shelf = Shelf.make(layout)
  const [first, second] = [ids(10), ids(15)].map((all) => Shelf.cacheOf(shelf, all))
  const fresh = () => {
    const disk = Disk.make()
    Result.getOrThrow(save(shelf, disk, first!))
    return disk
  }
  const done = fresh()
  const from = done.log.length
  const old = Result.getOrThrow(read(done))
  Result.getOrThrow(save(shelf, done, second!))
  const next = Result.getOrThrow(read(done))
  const seen = { old: 0, next: 0 }
  for (let stopAt = from; stopAt <= done.log.length; stopAt++) {
    const disk = fresh()
    disk.stopAt = stopAt
    const saved = save(shelf, disk, second!)
    assert.equal(Result.isSuccess(saved), stopAt === done.log.length)
    if (Result.isFailure(saved)) {
      assert.ok(saved.failure instanceof SnapshotNotSaved)
      assert.match(
        saved.failure.message,
        /^Cannot save a snapshot as f[\w./]*: its file system is full; the older one or this one is there, whole$/,
      )
    }
    for (let seed = 0; seed < 200; seed++) {
      const after = disk.crash(Disk.picker(stopAt * 1000 + seed))
      const found = Result.getOrThrow(read(after))
      const which = Buffer.compare(found, next) === 0 ? "next" : "old"
      if (which === "old") assert.deepEqual(found, old)
      assert.ok(which === "next" || Result.isFailure(saved), "a save that succeeded was lost")
      seen[which]++
      // Whatever was left behind is in nobody's way.
      if (seed < 20) {
        Result.getOrThrow(save(shelf, after, second!))
        assert.deepEqual(Result.getOrThrow(read(after)), next)
      }
    }
    disk.stopAt = Infinity // a file system that was full, and has room again
    Result.getOrThrow(save(shelf, disk, second!))
    assert.deepEqual(Result.getOrThrow(read(disk)), next)
  }
  assert.ok(seen.old > 1000 && seen.next > 200, JSON.stringify(seen))
  Shelf.end(shelf)
})

test("Snapshot.save() and restore() have one block of a group in memory, and none on the device", () => {
  const shelf = Shelf.make({ ...layout, blockSize: 16 })
  const disk = Disk.make()
  const cache = Shelf.cacheOf(shelf, ids(640))
  const live = () => Effect.runSync(Effect.provideContext(Gpu.live, shelf.world.context)).bytes
  Shelf.run(shelf, Program.run(KvCache.realize([cache])))
  const before = live()
  let [most, reads] = [0, 0]
  const look = () => most = Math.max(most, live() - before)
  const files = {
    ...disk.files,
    write: (path: string, bytes: Uint8Array) => {
      look()
      return disk.files.write(path, bytes)
    },
  }
  const saved = Snapshot.save("f", "a", cache, { blockTokens: 16 }).pipe(
    Effect.provideService(Snapshot.Files.Service, files),
  )
  const { blocks } = Shelf.run(shelf, saved)
  assert.equal(blocks, 80)
  const largest = 16 * 2 * 2 * 2 * 2 // tokens, layers of the larger group, halves, dim, bytes
  const rows = disk.paths().filter((path) => path.startsWith("f/blocks/"))
  assert.equal(Math.max(...rows.map((path) => disk.get(path)!.length)), largest)
  const snapshot = Effect.runSync(on(disk)(Snapshot.open("f", "a")))
  const block: Snapshot["block"] = (group, i) => {
    look()
    reads++
    return on(disk)(snapshot.block(group, i))
  }
  Shelf.run(shelf, Snapshot.restore(shelf.world.arena, { ...snapshot, block }))
  assert.deepEqual([most, reads], [0, 80])
  Shelf.end(shelf)
})

test("Snapshot.save() takes no names that lead elsewhere", () => {
  const shelf = Shelf.make(layout)
  const disk = Disk.make()
  for (const name of ["", ".", "..", "../a", "a/b", ".a", "a\0", "a b", "x".repeat(201)]) {
    const saved = save(shelf, disk, Shelf.cacheOf(shelf, []), name)
    assert.ok(Result.isFailure(saved))
    assert.match(saved.failure.message, /as the name of a snapshot: it must be at most 200 letters/)
    assert.ok(Result.isFailure(read(disk, name)))
  }
  assert.deepEqual(disk.log, [])
  Shelf.end(shelf)
})
