/** Programs that were found by running random ones, and what a run promises as a whole. @module */
import { Effect } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { KvCache, Lease, Program } from "../../mod.ts"
import { play } from "../models/play.ts"
import * as World from "../models/world.ts"

const realize = (...values: ReadonlyArray<{ readonly cache: KvCache }>) =>
  KvCache.realize(values.map(({ cache }) => cache))

test("KvCache.truncate() of an owed write in the middle keeps the rows after it", () => {
  const w = play({ blockSize: 1 })
  const a = w.lease()
  const x = w.write(w.append(w.empty, 3), 0, 1)
  const y = w.truncate(x, 2)
  w.realize(a, y)
  w.reads(a, y)
  w.end()
})

test("KvCache.gather() in the run of a step sees the rows that the step kept", () => {
  const w = play({ blockSize: 1 })
  const a = w.lease()
  const write = KvCache.step(
    [w.empty.cache],
    [2],
    (given) => Effect.as(w.attend(given, [w.empty], [[0, 1]]), { value: undefined, kept: [1] }),
  )
  const act = Effect.flatMap(write, ({ caches }) => KvCache.gather(caches[0]!))
  assert.equal(w.run(a, act).value().keys.shape[1], 1)
  w.end()
})

test("Program.run() does not land when a submit inside it failed, though its body goes on", () => {
  const w = play()
  const a = w.lease()
  const x = w.append(w.empty, 2)
  const body = Effect.gen(function* () {
    const { keys } = yield* KvCache.gather(x.cache)
    return yield* Effect.exit(Program.fetch(keys)) // whatever it says
  })
  w.world.device.faults.push("refused")
  assert.equal(w.run(a, body).error()._tag, "GpuFault")
  assert.deepEqual(w.free(), [8])
  w.realize(a, x)
  w.reads(a, x)
  w.end()
})

test("KvCache.realize() fails where two runs wait for each other's claims", () => {
  const w = play()
  const a = w.lease()
  const [x, y] = [w.append(w.empty, 1), w.append(w.empty, 1)]
  const inOrder = (first: typeof x, then: typeof x) =>
    Effect.andThen(Effect.andThen(realize(first), w.world.device.pause), realize(then))
  const [one, other] = [w.start(a, inOrder(x, y)), w.start(a, inOrder(y, x))]
  World.settle(w.world)
  const { message } = other.error()
  assert.equal(
    message,
    "Cannot take a ring as the order of values: it must be in one realise, as two transactions wait for each other's claims",
  )
  one.value()
  w.reads(a, x)
  w.reads(a, y)
  w.end()
})

test("Lease.scoped() gives every block back, and its values go stale", () => {
  const w = play()
  const x = w.append(w.empty, 3)
  const a = w.lease()
  const inner = Lease.scoped(w.world.arena)(Effect.scoped(Program.run(realize(x))))
  World.start(w.world, inner)
  World.settle(w.world)
  assert.deepEqual(w.free(), [8])
  assert.equal(w.run(a, realize(x)).error()._tag, "StaleCache")
  w.end()
})
