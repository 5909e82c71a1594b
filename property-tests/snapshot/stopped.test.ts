/** A save or a restore that fails or is interrupted at any of its operations leaves nothing behind. @module */
import { Effect, Exit, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  BadSnapshot,
  Gpu,
  GpuFault,
  KvCache,
  Lease,
  OutOfBlocks,
  Program,
  Snapshot,
  SnapshotNotSaved,
} from "../../mod.ts"
import * as Shelf from "../models/shelf.ts"
import * as World from "../../testing/world/world.ts"
import * as Disk from "./disk.ts"
import * as Stops from "./stops.ts"

const layout = {
  layers: 3,
  groups: [{ layers: [0, 2], window: undefined }, { layers: [1], window: undefined }],
  keyHeads: 1,
  keyDim: 2,
  blockSize: 3,
  dtype: "int8" as const,
}
const ids = (n: number): ReadonlyArray<number> => Array.from({ length: n }, (_, i) => i + 7)
const about = { blockTokens: 4 }

const on = (files: Snapshot.Files.Files) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provideService(effect, Snapshot.Files.Service, files)

/** All of a snapshot on a disk, read and checked. */
const read = (disk: Disk.Disk, name = "a") =>
  Effect.runSync(
    Effect.result(on(disk.files)(Effect.flatMap(Snapshot.open("f", name), Snapshot.encode))),
  )

const partials = (disk: Disk.Disk) => disk.paths().filter((path) => path.endsWith(".partial"))

/** Everything that must be as before. */
const picture = (shelf: Shelf.Shelf) => ({
  ledgers: World.picture(shelf.world),
  owners: shelf.world.arena.owners.size,
  live: Effect.runSync(Effect.provideContext(Gpu.live, shelf.world.context)),
})

/** For each operation and way until nothing is left to stop; how many there were. */
const everywhere = (
  attempt: (stops: Stops.Stops, way: Stops.Way, number: number) => void,
): number => {
  let number = 0
  for (let more = true; more; number++) {
    more = false
    for (const way of Stops.ways) {
      const stops = Stops.at(number, way)
      attempt(stops, way, number)
      more ||= stops.done.length > number
    }
  }
  return number - 1
}

const expected = <A, E>(exit: Exit.Exit<A, E>, way: Stops.Way, kinds: ReadonlyArray<unknown>) => {
  if (Exit.isSuccess(exit)) return
  if (way !== "fails") return assert.ok(Exit.hasInterrupts(exit) && !Exit.hasDies(exit), `${exit}`)
  const error = Result.getOrThrow(Exit.findError(exit))
  assert.ok(kinds.some((kind) => error instanceof (kind as typeof Error)), `${exit}`)
}

test("Snapshot.save() stopped at any operation leaves the old or the new snapshot, and nothing else", () => {
  const shelf = Shelf.make(layout)
  const [first, second] = [ids(5), ids(9)].map((all) => Shelf.cacheOf(shelf, all))
  Shelf.run(shelf, Program.run(KvCache.realize([first!, second!])))
  const save = (cache: KvCache, note: string) => Snapshot.save("f", "a", cache, { ...about, note })
  const fresh = () => {
    const disk = Disk.make()
    Shelf.run(shelf, on(disk.files)(save(first!, "old")))
    return disk
  }
  const old = Result.getOrThrow(read(fresh()))
  const done = fresh()
  Shelf.run(shelf, on(done.files)(save(second!, "new")))
  const next = Result.getOrThrow(read(done))
  const before = picture(shelf)
  const seen = { old: 0, next: 0 }
  const count = everywhere((stops, way, number) => {
    const disk = fresh()
    const exit = Stops.run(shelf, disk, stops, save(second!, "new"))
    expected(exit, way, [SnapshotNotSaved, GpuFault])
    assert.deepEqual(partials(disk), [], `${stops.done.at(-1)} ${way}`)
    assert.deepEqual(picture(shelf), before, `law 4: ${way} at ${stops.done[number]}`)
    const found = Result.getOrThrow(read(disk))
    const which = found.length === next.length ? "next" : "old"
    assert.deepEqual(found, which === "next" ? next : old)
    if (Exit.isSuccess(exit)) assert.equal(which, "next")
    seen[which]++
    // And where the machine stops now, whatever the disk makes of it.
    for (let seed = 0; seed < 3; seed++) {
      const crashed = disk.crash(Disk.picker(seed))
      const found = Result.getOrThrow(read(crashed))
      assert.deepEqual(found, found.length === next.length ? next : old)
      Shelf.run(shelf, on(crashed.files)(save(second!, "new")))
      assert.deepEqual(partials(crashed), [])
      assert.deepEqual(Result.getOrThrow(read(crashed)), next)
    }
  })
  // Of the second cache 6 blocks, 4 of them new: each is recorded, submitted, read twice, looked up; and the files.
  assert.ok(count > 60, `${count}`)
  assert.ok(seen.old > 30 && seen.next > 3, JSON.stringify(seen))
  Shelf.end(shelf)
})

test("Snapshot.restore() stopped at any operation leaves the arena as it was, or holds it all", () => {
  const shelf = Shelf.make(layout)
  const disk = Disk.make()
  const cache = Shelf.cacheOf(shelf, ids(9))
  Shelf.run(shelf, on(disk.files)(Snapshot.save("f", "a", cache, about)))
  const want = Shelf.gather(shelf, cache)
  const restore = Effect.flatMap(
    Snapshot.open("f", "a"),
    (snapshot) => Snapshot.restore(shelf.world.arena, snapshot),
  )
  let [whole, log] = [0, disk.log.length]
  const count = everywhere((stops, way, number) => {
    const before = picture(shelf)
    const exit = Stops.run(shelf, disk, stops, restore)
    expected(exit, way, [BadSnapshot, GpuFault])
    assert.equal(disk.log.length, log, "a restore writes nothing")
    if (Exit.isFailure(exit)) {
      return assert.deepEqual(picture(shelf), before, `law 4: ${way} at ${stops.done[number]}`)
    }
    whole++
    assert.deepEqual(Shelf.gather(shelf, exit.value.cache), want)
    Shelf.run(shelf, Lease.keep([cache]))
  })
  assert.ok(count > 20 && whole >= 3, `${count} ${whole}`)
  Shelf.end(shelf)
})

test("Snapshot.prune() stopped at any operation takes nothing that a snapshot names", () => {
  const shelf = Shelf.make(layout)
  const [first, second] = [ids(5), ids(9)].map((all) => Shelf.cacheOf(shelf, all))
  const fresh = (): Disk.Disk => {
    const disk = Disk.make()
    Shelf.run(shelf, on(disk.files)(Snapshot.save("f", "a", second!, about)))
    Shelf.run(shelf, on(disk.files)(Snapshot.save("f", "a", first!, about)))
    Effect.runSync(disk.files.write("f/blocks/x.partial", new Uint8Array(3)))
    return disk
  }
  const whole = Result.getOrThrow(read(fresh()))
  const count = everywhere((stops, way) => {
    const disk = fresh()
    expected(Stops.run(shelf, disk, stops, Snapshot.prune("f")), way, [
      BadSnapshot,
      SnapshotNotSaved,
    ])
    assert.deepEqual(Result.getOrThrow(read(disk)), whole)
    for (let seed = 0; seed < 20; seed++) {
      assert.deepEqual(Result.getOrThrow(read(disk.crash(Disk.picker(seed)))), whole)
    }
  })
  assert.ok(count > 8, `${count}`)
  Shelf.end(shelf)
})

// The header's new name was not on the disk yet, and prune took the blocks of the one that came back.
test("Snapshot.prune() after a save whose last sync failed leaves the older snapshot whole", () => {
  const shelf = Shelf.make(layout)
  const [first, second] = [ids(9), ids(5)].map((all) => Shelf.cacheOf(shelf, all))
  const disk = Disk.make()
  Shelf.run(shelf, on(disk.files)(Snapshot.save("f", "a", first!, about)))
  const old = Result.getOrThrow(read(disk))
  const files: Snapshot.Files.Files = {
    ...disk.files,
    sync: (path) =>
      path === "f" ? Effect.fail({ path, reason: "input/output error" }) : disk.files.sync(path),
  }
  const failed = Shelf.run(shelf, Effect.flip(on(files)(Snapshot.save("f", "a", second!, about))))
  assert.ok(failed instanceof SnapshotNotSaved)
  const next = Result.getOrThrow(read(disk))
  Effect.runSync(on(disk.files)(Snapshot.prune("f")))
  const seen = new Set<number>()
  for (let seed = 0; seed < 50; seed++) {
    const found = Result.getOrThrow(read(disk.crash(Disk.picker(seed))))
    seen.add(found.length)
    assert.deepEqual(found, found.length === next.length ? next : old)
  }
  Shelf.end(shelf)
})

/** Every answer that `pick` may give in `body`, one after another; of many numbers the first, one between and the last. */
const everyWay = (body: (pick: (n: number) => number) => void): number => {
  const path: Array<{ at: number; readonly of: number }> = []
  for (let ways = 1;; ways++) {
    let depth = 0
    body((n) => {
      const of = Math.min(n, 3)
      const { at } = path[depth] ?? path[path.push({ at: 0, of }) - 1]!
      depth++
      return n > 3 && at > 0 ? at === 1 ? n >> 1 : n - 1 : at
    })
    path.length = depth
    while (path.length > 0 && path.at(-1)!.at === path.at(-1)!.of - 1) path.pop()
    if (path.length === 0) return ways
    path.at(-1)!.at++
  }
}

test("Snapshot.save(): every prefix and reorder of what is not synced gives the old or the new snapshot", () => {
  const shelf = Shelf.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 3 })
  const [first, second] = [ids(2), ids(6)].map((all) => Shelf.cacheOf(shelf, all))
  const save = (disk: Disk.Disk, cache: KvCache) =>
    Shelf.run(shelf, Effect.result(on(disk.files)(Snapshot.save("f", "a", cache, about))))
  const fresh = () => {
    const disk = Disk.make()
    Result.getOrThrow(save(disk, first!))
    return disk
  }
  const done = fresh()
  const from = done.log.length
  const old = Result.getOrThrow(read(done))
  Result.getOrThrow(save(done, second!))
  const next = Result.getOrThrow(read(done))
  let states = 0
  for (let stopAt = from; stopAt <= done.log.length; stopAt++) {
    const disk = fresh()
    disk.stopAt = stopAt
    const saved = save(disk, second!)
    states += everyWay((pick) => {
      const found = Result.getOrThrow(read(disk.crash(pick)))
      const isNew = found.length === next.length
      assert.deepEqual(found, isNew ? next : old)
      assert.ok(isNew || Result.isFailure(saved), "a save that succeeded was lost")
    })
  }
  assert.ok(states > 100, `${states}`)
  Shelf.end(shelf)
})

test("Snapshot.restore() to an arena whose blocks others hold fails with OutOfBlocks, and changes nothing", () => {
  const shelf = Shelf.make(layout)
  const cache = Shelf.cacheOf(shelf, ids(9))
  const snapshot = Shelf.run(shelf, Snapshot.take(cache, about))
  const world = World.make({ layout, numBlocks: [5, 5] })
  world.device.gated = false
  const full: Shelf.Shelf = { world, guard: World.open(world), poison: "nan" }
  const other = Shelf.cacheOf(full, ids(8)) // three of five blocks, and three are needed
  Shelf.run(full, Program.run(KvCache.realize([other])))
  const before = picture(full)
  const error = Shelf.run(full, Effect.flip(Snapshot.restore(world.arena, snapshot)))
  assert.ok(error instanceof OutOfBlocks)
  assert.deepEqual([error.needed, error.free, error.total], [1, 0, 5])
  assert.deepEqual(picture(full), before, "law 4")
  Shelf.end(full)
  Shelf.end(shelf)
})
