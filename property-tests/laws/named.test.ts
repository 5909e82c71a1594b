/** The smallest programs that break a cache when one of its rules is missing. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Attention, KvCache, Recording } from "../../mod.ts"
import { play } from "../models/play.ts"
import * as World from "../../testing/world/world.ts"

const realize = (...values: ReadonlyArray<{ readonly cache: KvCache }>) =>
  KvCache.realize(values.map(({ cache }) => cache))

test("KvCache.realize() of siblings copies no slot that the same launch writes", () => {
  const w = play()
  const a = w.lease()
  const x = w.append(w.empty, 3)
  const p = w.append(x, 2)
  w.realize(a, p, w.truncate(p, 4), w.append(x, 1))
  for (const value of w.world.values) w.reads(a, value)
  w.end()
})

test("KvCache.realize() of siblings under a copied block copies from what was settled", () => {
  const w = play()
  const a = w.lease()
  const p = w.append(w.empty, 2)
  w.realize(a, w.append(p, 1))
  const c = w.append(p, 1) // must copy: the mark of the shared block is at 3
  w.realize(a, w.append(c, 1), w.append(c, 1))
  for (const value of w.world.values) w.reads(a, value)
  w.end()
})

test("KvCache.step() that fails while recording is in place again when it is tried again", () => {
  const w = play()
  const a = w.lease()
  const [p] = w.step(a, [[w.empty, 1]])
  const fails = KvCache.step([p!.cache], [1], () => Effect.fail("no" as const))
  assert.throws(() => w.run(a, fails).value())
  w.reads(a, w.step(a, [[p!, 1]])[0]!)
  assert.equal(w.copied(), 0)
  w.end()
})

test("KvCache.realize() that was interrupted writes the same slots when it is tried again", () => {
  const w = play()
  const a = w.lease()
  const x = w.append(w.empty, 3)
  w.start(a, realize(x)).fiber.interruptUnsafe()
  assert.deepEqual(w.free(), [8])
  w.realize(a, x)
  w.reads(a, x)
  assert.deepEqual(w.free(), [7])
  w.end()
})

test("KvCache.realize() of a chain that fails is undone newest first", () => {
  const w = play()
  const a = w.lease()
  const p = w.append(w.empty, 1)
  w.realize(a, p)
  const before = World.picture(w.world)
  w.world.device.faults.push("ran")
  assert.equal(w.run(a, realize(w.append(w.append(p, 1), 1))).error()._tag, "GpuFault")
  assert.deepEqual(World.picture(w.world), before)
  w.end()
})

test("Program.run() that fails undoes its own claims and leaves the marks of others", () => {
  const w = play()
  const a = w.lease()
  const [x, y] = [w.append(w.empty, 1), w.append(w.empty, 2)]
  w.world.device.faults.push("ran")
  const first = w.start(a, realize(x))
  w.start(a, realize(y))
  w.world.device.tick(1) // y lands
  w.world.device.tick(0) // x fails
  assert.equal(first.error()._tag, "GpuFault")
  w.realize(a, w.append(y, 1), w.append(y, 1))
  for (const value of [y, ...w.world.values.slice(-2)]) w.reads(a, value)
  w.end()
})

test("KvCache.realize() of one value twice at once places it once", () => {
  const w = play()
  const [a, b] = [w.lease(), w.lease()]
  const x = w.append(w.empty, 2)
  const both = [w.start(a, realize(x)), w.start(b, realize(x))]
  World.settle(w.world)
  for (const one of both) one.value()
  assert.deepEqual(w.free(), [7])
  World.close(a)
  w.reads(b, x)
  w.end()
})

test("KvCache.gather() in flight keeps what it reads, whoever lets go meanwhile", () => {
  for (const letGo of ["close", "keep"] as const) {
    const w = play()
    const [a, b] = [w.lease(), w.lease()]
    const x = w.append(w.empty, 3)
    w.realize(a, x)
    const reading = w.start(b, KvCache.gather(x.cache))
    if (letGo === "close") World.close(a)
    else w.keep(a)
    World.check(w.world)
    World.settle(w.world)
    reading.value()
    w.reads(b, x)
    w.end()
  }
})

test("KvCache.realize() pins what it grows from before it waits for another claim", () => {
  const w = play()
  const [a, b] = [w.lease(), w.lease()]
  const p = w.append(w.empty, 1)
  w.realize(a, p)
  const x = w.append(p, 1)
  w.world.device.faults.push("refused")
  const fails = w.start(a, realize(x))
  const waits = w.start(b, realize(x))
  w.keep(a)
  World.settle(w.world)
  assert.equal(fails.error()._tag, "GpuFault")
  waits.value()
  w.reads(b, x)
  w.end()
})

test("KvCache.gather() of an owed value survives a keep between placing and reading", () => {
  const w = play()
  const a = w.lease()
  const x = w.append(w.empty, 1)
  const pausing = Effect.tap(realize(x), () => w.world.device.pause)
  const reading = w.start(a, Effect.andThen(pausing, KvCache.gather(x.cache)))
  w.keep(a)
  World.settle(w.world)
  reading.value()
  w.reads(a, x)
  w.end()
})

test("KvCache.realize() of a child makes the lease hold the prefix that another lease placed", () => {
  const w = play()
  const [a, b] = [w.lease(), w.lease()]
  const p = w.append(w.empty, 5)
  w.realize(a, p)
  const x = w.append(p, 1)
  w.realize(b, x)
  World.close(a)
  w.reads(b, x)
  w.reads(b, p)
  w.end()
})

test("Attention.decode() that fails once it has placed a child holds the prefix, if its run lands", () => {
  const w = play()
  const [a, b] = [w.lease(), w.lease()]
  const p = w.append(w.empty, 5)
  w.realize(a, p)
  const x = w.append(p, 1)
  const decode = Effect.suspend(() => {
    const data = new Float32Array(1)
    const q = Recording.fresh("f32", "batch numQHeads headDim", [1, 1, 1], data)
    return Attention.decode(q, [x.cache], { scale: NaN })
  })
  assert.equal(w.run(b, Effect.flip(decode)).value()._tag, "InvalidArgument")
  World.close(a)
  w.realize(b, w.append(w.empty, 8)) // into what is free
  w.reads(b, x)
  w.end()
})

test("KvCache.realize() of a narrower value makes the lease hold what was placed on the way", () => {
  const w = play()
  const a = w.lease()
  const x = w.append(w.empty, 1)
  w.realize(a, w.dropBefore(x, 1))
  w.reads(a, x)
  const y = w.append(w.empty, 1)
  w.realize(a, w.write(y, 0, 1))
  w.reads(a, y)
  w.end()
})

test("KvCache.realize() of a narrower value holds what another lease placed on the way meanwhile", () => {
  const w = play()
  const [a, b] = [w.lease(), w.lease()]
  const x = w.append(w.empty, 5)
  w.start(a, realize(x))
  w.start(b, realize(w.dropBefore(x, 5)))
  World.settle(w.world)
  World.close(a)
  w.reads(b, x)
  w.end()
})

test("KvCache.gather() makes its lease an owner, whoever placed the value first", () => {
  for (const waits of [true, false]) {
    const w = play()
    const [a, b] = [w.lease(), w.lease()]
    const x = w.append(w.empty, 1)
    w.start(a, realize(x))
    if (!waits) World.settle(w.world)
    const reading = w.start(b, KvCache.gather(x.cache))
    World.settle(w.world)
    reading.value()
    World.close(a)
    w.reads(b, x)
    w.end()
  }
})

test("KvCache.gather() of a value that was let go fails, and never reads what came after", () => {
  const w = play()
  const a = w.lease()
  const x = w.append(w.empty, 1)
  w.realize(a, x)
  w.keep(a, w.empty)
  assert.equal(w.run(a, KvCache.gather(x.cache)).error()._tag, "StaleCache")
  w.end()
})

test("Lease.keep() of an owed value keeps what it grows from", () => {
  const w = play()
  const a = w.lease()
  const x = w.append(w.empty, 3)
  w.realize(a, x)
  const y = w.append(x, 1)
  w.keep(a, y)
  w.realize(a, y)
  w.reads(a, y)
  w.end()
})

test("KvCache.realize() does not land on a lease that was closed meanwhile", () => {
  const w = play()
  const a = w.lease()
  const started = w.start(a, realize(w.append(w.empty, 3)))
  World.close(a)
  World.settle(w.world)
  assert.equal(started.error()._tag, "LeaseClosed")
  assert.deepEqual(w.free(), [8])
  w.end()
})

test("KvCache.step() of one value in two rows gives each row its own slots", () => {
  const w = play()
  const a = w.lease()
  const p = w.append(w.empty, 2)
  const [left, right] = w.step(a, [[p, 1], [p, 1]])
  for (const value of [p, left!, right!]) w.reads(a, value)
  assert.equal(w.copied(), 2)
  w.end()
})

test("KvCache.truncate() never lowers a mark: the longer value keeps its row", () => {
  const w = play()
  const a = w.lease()
  const x = w.append(w.empty, 3)
  w.realize(a, x)
  const other = w.append(w.truncate(x, 2), 1)
  w.realize(a, other)
  w.reads(a, x)
  w.reads(a, other)
  assert.equal(w.copied(), 2)
  w.end()
})

test("KvCache.truncate() below the first visible position is refused: its blocks may be gone", () => {
  const w = play()
  const a = w.lease()
  const x = w.append(w.empty, 6)
  w.realize(a, x)
  const y = w.dropBefore(x, 4)
  w.keep(a, y)
  assert.deepEqual(w.free(), [7])
  assert.ok(Result.isFailure(KvCache.truncate(y.cache, 3)))
  w.reads(a, w.truncate(y, 4))
  w.end()
})

test("KvCache.realize() carries no slot that was dropped: its block may be gone", () => {
  const w = play({ blockSize: 5 })
  const [a, b] = [w.lease(), w.lease()]
  const [p] = w.step(a, [[w.empty, 1]])
  const x = w.truncate(w.dropBefore(w.append(p!, 5), 5), 5)
  World.close(a)
  const y = w.append(x, 1)
  w.realize(b, y)
  assert.equal(w.copied(), 0)
  w.reads(b, y)
  w.end()
})

test("KvCache.append() after truncate() over a contiguous cache needs a spare row", () => {
  for (const spare of [0, 1]) {
    const w = play({ blockSize: 8, capacity: 8 }, 1 + spare)
    const a = w.lease()
    const x = w.append(w.empty, 5)
    w.realize(a, x)
    const y = w.append(w.truncate(x, 4), 1)
    const started = w.run(a, realize(y))
    if (spare === 0) assert.equal(started.error()._tag, "OutOfBlocks")
    else w.reads(a, y)
    w.reads(a, x)
    w.end()
  }
})
