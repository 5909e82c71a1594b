/** What a soak does again and again, and what must hold each time. @module */
import { Effect, Fiber, Option, Result, Scope, Stream } from "effect"
import assert from "node:assert/strict"
import { Gpu, KvCache, Lease, Llama, Program, Snapshot, Tensor } from "../../mod.ts"
import { type Branch, close, hangUp, ids, one, open, start, type World } from "./world.ts"

/** One of them, and how often it is drawn. */
export interface Operation {
  readonly name: string
  readonly weight: number
  readonly run: (world: World) => Effect.Effect<unknown, unknown, Gpu>
}

/** Tokens that a branch may hold: what the model reads, less what an operation adds. */
const longest = 400

const sampling = ({ pick }: World): Llama.GenerateOptions => ({
  maxTokens: 1 + pick(24),
  temperature: pick(3) / 2,
  seed: pick(1000),
  ignoreEos: pick(2) === 0,
  chunk: 1 + pick(40),
})

const generation = (world: World) =>
  Llama.generate(world.llama, ids(world, 1 + world.pick(60)), sampling(world))

const generate = (world: World) => Stream.runDrain(generation(world))

/** Runs an effect and interrupts it after some turns of the scheduler, of which real waits take any number. */
const cutOff = <A, E, R>(world: World, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    for (let turns = world.pick(60); turns > 0; turns--) yield* Effect.yieldNow
    yield* Fiber.interrupt(fiber)
  })

const cancel = (world: World) => {
  const stream = generation(world)
  return world.pick(2) === 0
    ? Stream.runDrain(Stream.take(stream, world.pick(20)))
    : cutOff(world, Stream.runDrain(stream))
}

/** Reads tokens after a branch; the most probable next one. */
const read = (llama: Llama, branch: Branch, more: ReadonlyArray<number>) =>
  Effect.scoped(
    Lease.under(branch.lease)(Effect.gen(function* () {
      const body = ({ last }: Llama.Read) => Effect.flatMap(last, Tensor.argmax)
      const step = Llama.step(llama, [branch.cache], [more], body)
      const { caches, value } = yield* Program.run(step)
      branch.cache = yield* Llama.slide(caches[0]!)
      branch.tokens = [...branch.tokens, ...more]
      return (yield* Gpu.read(value))[0]!
    })),
  )

const grow = (world: World) =>
  Effect.gen(function* () {
    const branch = one(world, world.branches) ??
      (yield* open(world, start(world, undefined).cache, []))
    if (branch.tokens.length > longest) return yield* close(world, branch)
    let next = yield* read(world.llama, branch, ids(world, 1 + world.pick(48)))
    for (let n = world.pick(8); n > 0; n--) next = yield* read(world.llama, branch, [next])
  })

const fork = (world: World) =>
  Effect.gen(function* () {
    if (world.branches.length > 8) yield* close(world, one(world, world.branches)!)
    const from = start(world, one(world, world.branches))
    const branch = yield* open(world, from.cache, from.tokens)
    yield* read(world.llama, branch, ids(world, 1 + world.pick(16)))
  })

const drop = (world: World) => {
  const branch = one(world, world.branches)
  return branch === undefined ? Effect.void : close(world, branch)
}

/** Rows of a cache, on the host. */
const rows = (cache: KvCache) =>
  Effect.gen(function* () {
    const { keys, values } = yield* Program.run(KvCache.gather(cache))
    return [yield* Gpu.read(keys), yield* Gpu.read(values)]
  })

/** A branch holds what its tokens give, whatever has happened to it. */
const compare = (world: World) =>
  Effect.gen(function* () {
    const branch = one(world, world.branches)
    if (branch === undefined) return
    const { llama, arena } = world
    const found = yield* Effect.scoped(Lease.under(branch.lease)(rows(branch.cache)))
    const again = Effect.flatMap(Llama.rebuild(llama, arena, branch.tokens), rows)
    const wanted = yield* Lease.scoped(arena)(again)
    // Chunks of other sizes may be other kernels, which add in another order.
    const most = (yield* Gpu.Service).name === "cpu" ? 0 : 2e-2
    for (const [half, data] of wanted.entries()) {
      assert.equal(found[half]!.length, data.length)
      const far = data.findIndex((x, i) => !(Math.abs(x - found[half]![i]!) <= most))
      assert.equal(far, -1, `element ${far} is ${found[half]![far]}, not ${data[far]}`)
    }
  })

const score = (world: World) => Llama.score(world.llama, ids(world, 2 + world.pick(60)))

const talk = (world: World) =>
  Effect.gen(function* () {
    const old = one(world, world.talks)
    if (old !== undefined && world.pick(4) === 0) return yield* hangUp(world, old)
    const known = world.talks.length < 2 ? undefined : old
    const talk = known ?? (yield* begin(world))
    const text = ["Who made the heaven?", "And the earth?", "Say it again"][world.pick(3)]!
    const said = Llama.say(talk.conversation, text, { ...sampling(world), maxTokens: 8 })
    if (world.pick(4) === 0) return yield* cutOff(world, Stream.runDrain(said))
    const last = Option.getOrThrow(yield* Stream.runLast(said))
    assert.ok(last._tag === "Answered" && "conversation" in last)
    talk.conversation = last.conversation
    if (talk.conversation.messages.length > 6) yield* hangUp(world, talk)
  })

const begin = (world: World) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const options = { contextTokens: 320, system: "Be brief" }
    const conversation = yield* Scope.provide(Llama.converse(world.llama, options), scope)
    const talk = { scope, conversation }
    world.talks.push(talk)
    return talk
  })

const names = ["a", "b", "c", "d"]

const save = (world: World) =>
  Effect.gen(function* () {
    const branch = one(world, world.branches)
    if (branch === undefined) return
    const { llama, folder } = world
    const name = names[world.pick(names.length)]!
    const { cache, tokens } = branch
    const saving = Lease.under(branch.lease)(
      Llama.saveHistory(llama, folder, name, { cache, tokens }),
    )
    if (world.pick(3) > 0) {
      yield* saving
      world.saved.set(name, tokens)
    } else {
      yield* cutOff(world, saving)
      // The old one or the new one: only the folder knows.
      const there = yield* Effect.result(Snapshot.open(folder, name))
      if (Result.isSuccess(there)) world.saved.set(name, there.success.header.tokens)
      else assert.ok(!world.saved.has(name), "an interrupted save took a snapshot away")
    }
    if (world.pick(8) === 0) yield* Snapshot.prune(folder)
  })

const restore = (world: World) =>
  Effect.gen(function* () {
    const name = one(world, [...world.saved.keys()])
    if (name === undefined) return
    const { llama, arena, folder } = world
    if (world.branches.length > 8) yield* close(world, one(world, world.branches)!)
    const branch = yield* open(world, KvCache.empty(arena), [])
    const restoring = Lease.under(branch.lease)(Llama.restoreHistory(llama, arena, folder, name))
    if (world.pick(4) === 0) return yield* cutOff(world, restoring)
    const { cache, tokens } = yield* restoring
    assert.deepEqual(tokens, world.saved.get(name))
    Object.assign(branch, { cache, tokens })
  })

/** Several at once that share nothing but the device. */
const together = (world: World) =>
  Effect.all([generate(world), cancel(world), score(world)], {
    concurrency: "unbounded",
    discard: true,
  })

/** A model of its own. */
const load = (world: World) =>
  Effect.scoped(Effect.gen(function* () {
    const llama = yield* Llama.load()
    yield* Stream.runDrain(Llama.generate(llama, ids(world, 4), { maxTokens: 2 }))
  }))

/** All of them. */
export const operations: ReadonlyArray<Operation> = [
  { name: "generate", weight: 4, run: generate },
  { name: "cancel", weight: 4, run: cancel },
  { name: "grow", weight: 6, run: grow },
  { name: "fork", weight: 5, run: fork },
  { name: "drop", weight: 2, run: drop },
  { name: "compare", weight: 2, run: compare },
  { name: "score", weight: 2, run: score },
  { name: "chat", weight: 4, run: talk },
  { name: "save", weight: 4, run: save },
  { name: "restore", weight: 4, run: restore },
  { name: "together", weight: 1, run: together },
  { name: "load", weight: 1, run: load },
]

/** One of them, by weight. */
export const draw = (
  all: ReadonlyArray<Operation>,
  pick: (n: number) => number,
): Operation => {
  let at = pick(all.reduce((sum, { weight }) => sum + weight, 0))
  return all.find(({ weight }) => (at -= weight) < 0)!
}

/** Runs an operation; where the arena is full, everything in it makes room. */
export const perform = (world: World, operation: Operation): Effect.Effect<string, unknown, Gpu> =>
  operation.run(world).pipe(
    Effect.as(operation.name),
    Effect.catchIf(
      (error) => (error as { _tag?: string })._tag === "OutOfBlocks",
      () =>
        Effect.as(
          Effect.forEach([...world.branches], (branch) => close(world, branch)),
          "out of blocks",
        ),
    ),
  )
