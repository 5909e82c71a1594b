/** Programs that were found by running random ones, and what a run promises as a whole. @module */
import { Cause, Effect, Exit, Fiber } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { KvCache, Lease, Program } from "../../mod.ts"
import {
  append,
  begin,
  keep,
  kvasir,
  read,
  realize,
  replay,
  row,
  run,
  step,
  tick,
  truncate,
} from "../../testing/mod.ts"
import { play } from "../models/play.ts"
import * as World from "../../testing/world/world.ts"

const realized = (...values: ReadonlyArray<{ readonly cache: KvCache }>) =>
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

for (const last of ["sooner", "later"] as const) {
  test(`Program.run() does not land when a submit that nobody waited for failed ${last} than its last one ended`, () => {
    const w = play()
    const a = w.lease()
    const x = w.append(w.empty, 2)
    const body = Effect.gen(function* () {
      const { keys } = yield* KvCache.gather(x.cache)
      yield* Effect.forkChild(Program.fetch(keys), { startImmediately: true })
    })
    w.world.device.faults.push("refused")
    const ran = w.start(a, body)
    assert.equal(w.world.device.waiting.length, 2)
    for (let left = 2; left > 0; left--) w.world.device.tick(last === "sooner" ? 0 : left - 1)
    assert.equal(ran.error()._tag, "GpuFault")
    assert.deepEqual(w.free(), [8])
    w.realize(a, x)
    w.reads(a, x)
    w.end()
  })
}

test("Program.run() does not land when a submit inside it was interrupted, though its body goes on", () => {
  const w = play()
  const a = w.lease()
  const x = w.append(w.empty, 2)
  const body = Effect.gen(function* () {
    const { keys } = yield* KvCache.gather(x.cache)
    const submit = yield* Effect.forkChild(Program.fetch(keys), { startImmediately: true })
    yield* Fiber.interrupt(submit)
  })
  const { message } = w.run(a, body).error()
  assert.equal(message, "Cannot read the recording: its submit was interrupted")
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
    Effect.andThen(Effect.andThen(realized(first), w.world.device.pause), realized(then))
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

test("KvCache.realize() fails where a run that waits for two others closes a ring", () => {
  const w = play()
  const a = w.lease()
  const [x, y, z] = [1, 2, 3].map((n) => w.append(w.empty, n))
  const { pause } = w.world.device
  const second = w.start(
    a,
    Effect.andThen(Effect.andThen(realized(x!), pause), realized(y!)),
  )
  const third = w.start(a, Effect.andThen(realized(z!), pause))
  const both = Effect.all([realized(x!), realized(z!)], { concurrency: "unbounded" })
  const first = w.start(a, Effect.asVoid(Effect.andThen(realized(y!), both)))
  World.settle(w.world)
  const failed = [first, second, third].filter((run) => run.failed())
  assert.deepEqual(failed.map((run) => run.error()._tag), ["InvalidArgument"])
  for (const value of [x!, y!, z!]) w.realize(a, value)
  for (const value of [x!, y!, z!]) w.reads(a, value)
  w.end()
})

/** A fork that outlives the run it is made in, and the assertion that what it did was refused. */
const outliving = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  let fiber: Fiber.Fiber<A, E> | undefined
  const fork = Effect.map(
    Effect.forkDetach(effect, { startImmediately: true }),
    (forked) => void (fiber = forked),
  )
  const ended = () => fiber!.pollUnsafe()
  const refused = (): void => {
    const exit = ended()
    assert.ok(exit !== undefined && Exit.isFailure(exit))
    const said = String(Cause.squash(exit.cause))
    assert.match(said, /it must be open: what a run forks must end in it/)
  }
  return { fork, ended, refused }
}

for (const ends of ["succeeded", "failed"] as const) {
  test(`KvCache.realize() by a fiber that outlives a run that ${ends} is refused, and leaks nothing`, () => {
    const w = play()
    const a = w.lease()
    const x = w.append(w.empty, 2)
    const late = outliving(Effect.andThen(w.world.device.pause, realized(x)))
    const body = Effect.andThen(
      late.fork,
      ends === "failed" ? Effect.fail("no" as const) : Effect.void,
    )
    assert.equal(w.run(a, body).failed(), ends === "failed")
    while (w.world.device.waiting.length > 0) w.world.device.tick(0)
    late.refused()
    assert.deepEqual(w.free(), [8])
    w.end()
  })
}

test("KvCache.realize() that waited for another run's claim is refused where its own run is over", () => {
  const w = play()
  const a = w.lease()
  const x = w.append(w.empty, 2)
  const y = w.append(x, 1)
  const first = w.start(a, realized(x))
  const late = outliving(realized(y))
  const second = w.start(a, late.fork)
  w.world.device.tick(1)
  second.value()
  assert.equal(late.ended(), undefined)
  w.world.device.tick(0)
  first.value()
  late.refused()
  assert.deepEqual(w.free(), [7])
  w.realize(a, y)
  w.reads(a, y)
  w.end()
})

test("Lease.scoped() gives every block back, and its values go stale", () => {
  const w = play()
  const x = w.append(w.empty, 3)
  const a = w.lease()
  const inner = Lease.scoped(w.world.arena)(Effect.scoped(Program.run(realized(x))))
  World.start(w.world, inner)
  World.settle(w.world)
  assert.deepEqual(w.free(), [8])
  assert.equal(w.run(a, realized(x)).error()._tag, "StaleCache")
  w.end()
})

test("KvCache.step() shows kernels the dummy block for padding and for blocks that were dropped", () => {
  const w = play({}, 8)
  const a = w.lease()
  const [x, y] = w.step(a, [[w.empty, 9], [w.empty, 1]])
  const rows = [w.dropBefore(x!, 5), y!]
  w.keep(a, ...rows)
  let shown: ReadonlyArray<ArrayBufferView | undefined> = []
  const body = (given: KvCache.Step) =>
    Effect.as(w.attend(given, rows, [[90, 92], [91]]), { value: given }).pipe(
      Effect.tap(({ value: { groups, last, positions } }) =>
        Effect.sync(() =>
          shown = [groups[0]!.blockTables, last, positions].map(({ slot }) => slot.data)
        )
      ),
    )
  w.run(a, Effect.asVoid(KvCache.step(rows.map(({ cache }) => cache), [2, 1], body))).value()
  assert.deepEqual(shown, [
    Uint32Array.of(8, 1, 2, 3, 8, 8),
    Uint32Array.of(1, 2),
    Uint32Array.of(9, 10, 1),
  ])
  w.end()
})

test("KvCache.gather() that waits for a step fails when the step does", () => {
  const w = play()
  const [a, b] = [w.lease(), w.lease()]
  let leaked = w.empty.cache
  const body = (given: KvCache.Step) =>
    Effect.as(w.attend(given, [w.empty], [[0]]), { value: undefined })
  const act = KvCache.step([leaked], [1], body).pipe(
    Effect.tap(({ caches }) => Effect.sync(() => leaked = caches[0]!)),
    Effect.andThen(w.world.device.pause),
    Effect.andThen(Effect.fail("no" as const)),
  )
  const step = w.start(a, act)
  const reading = w.start(b, KvCache.gather(leaked))
  World.settle(w.world)
  assert.ok(step.failed())
  assert.equal(reading.error()._tag, "StaleCache")
  assert.deepEqual(w.free(), [8])
  w.end()
})

test("Program.fetch() after a submit of its run has failed fails as that did, and reads nothing", () => {
  const w = play()
  const a = w.lease()
  const x = w.append(w.empty, 1)
  const body = Effect.gen(function* () {
    const { keys } = yield* KvCache.gather(x.cache)
    const first = yield* Effect.flip(Program.fetch(keys))
    const again = yield* KvCache.gather(x.cache) // it builds on what was lost
    return [first, yield* Effect.flip(Program.fetch(again.keys))] as const
  })
  w.world.device.faults.push("refused")
  let faults: ReadonlyArray<unknown> = []
  const told = Effect.tap(body, (both) => Effect.sync(() => void (faults = both)))
  assert.equal(w.run(a, told).error()._tag, "GpuFault")
  assert.equal(faults.length, 2)
  assert.equal(faults[0], faults[1])
  w.realize(a, x)
  w.reads(a, x)
  w.end()
})

test("a value may be stale though a run has read a narrower view of what it grows from", async () => {
  const layout = { layers: 1, keyHeads: 1, keyDim: 1, blockSize: 1, capacity: 24 }
  await replay(kvasir, { layout, numBlocks: [3], poison: "nan", recycle: "lifo" }, [
    append(0, 1),
    run(0, [realize(0)]),
    append(0, 1),
    truncate(0, 2),
    begin(0, [step([row(0, 0)]), step([row(2, 0)]), read(0, 0)]),
    keep(0, [0]),
    tick(0),
  ])
})
