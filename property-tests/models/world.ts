/**
 * An arena with everything a program may have made in it, and a naive model beside it: a value is a list of
 * row numbers, and which values must be readable is known from the program alone, never from the ledger.
 *
 * @module
 */
import { Cause, type Context, Effect, Exit, type Fiber, Layer, Result, Scope } from "effect"
import assert from "node:assert/strict"
import { Arena, Gpu, KvCache, Layout, Lease } from "../../mod.ts"
import { type Device, device, inOneTick } from "./device.ts"
import type { Value } from "./readings.ts"
import { holds, type Image, imageOf, poisonUnseen, upload } from "./storage.ts"

/** What of a node is seen. */
export type View = Pick<KvCache, "node" | "length" | "starts">

/** A lease, and what it must keep readable. */
export interface Guard {
  readonly owner: Context.Service.Shape<typeof Lease.Service>
  readonly scope: Scope.Closeable
  whole: Set<View>
}

/** What a world is made with. */
export interface Config {
  readonly layout: Layout.Options
  /** Usable blocks of each layer group. */
  readonly numBlocks: ReadonlyArray<number>
}

/** The nearest placed view at or below a value. */
export const placed = (cache: KvCache): KvCache => {
  let at = cache
  while (at.node.tables === undefined) at = at.node.base!
  return at
}

type Blocks = ReadonlyArray<{ readonly id: number; readonly generation: number }>

/** Blocks of a placed view in one group, by place in the table. */
const blocksOf = (cache: View, group: number): Blocks => {
  const { full, tail } = cache.node.tables![group]!
  return [...full, tail].flatMap(({ ids, generations }) =>
    [...ids].map((id, i) => ({ id, generation: generations[i]! }))
  )
}

/** Blocks of a placed view that it sees, with their place in the table. */
const seenBlocks = (cache: KvCache, group: number) => {
  const { blockSize } = cache.arena.layout
  const from = Math.floor(cache.starts[group]! / blockSize)
  const end = Math.ceil(cache.length / blockSize)
  return blocksOf(cache, group).slice(from, end).map((ref, i) => ({ ...ref, index: from + i }))
}

/** Is a placed view's memory somebody else's by now? */
const recycled = (cache: KvCache): boolean =>
  cache.arena.ledgers.some((ledger, group) =>
    seenBlocks(cache, group).some(({ id, generation }) => ledger.generation[id] !== generation)
  )

/** A world. Everything in it happens in the tick of the call, except what waits at a gate. */
export interface World {
  readonly config: Config
  readonly arena: Arena
  readonly device: Device
  readonly context: Context.Context<Gpu>
  readonly scope: Scope.Closeable
  /** Every value made so far, the oldest first. */
  readonly values: Array<Value>
  readonly guards: Array<Guard>
  readonly running: Set<Fiber.Fiber<unknown, unknown>>
  /** Outcomes, counted. */
  readonly outcomes: Map<string, number>
  readonly images: Map<string, Image>
  nextRow: number
  /** Was any submit told to fail? */
  faulty: boolean
  /** The first defect of any fiber. */
  defect: { readonly cause: unknown } | undefined
}

const images = (world: World, group: number, row: number): Image => {
  const key = `${group} ${row}`
  const known = world.images.get(key) ?? imageOf(world.arena.layout, group, row)
  world.images.set(key, known)
  return known
}

/** Counts an outcome. */
export const count = (world: World, name: string): void => {
  world.outcomes.set(name, (world.outcomes.get(name) ?? 0) + 1)
}

/** A new world with one value, the empty cache, and no lease. */
export const make = (config: Config, outcomes: Map<string, number> = new Map()): World => {
  const scope = Scope.makeUnsafe()
  const made = device()
  const built = Layer.buildWithScope(made.layer, scope).pipe(
    Effect.flatMap((context) => {
      const layout = Result.getOrThrow(Layout.make(config.layout))
      return Arena.make(layout, config.numBlocks).pipe(
        Effect.provideContext(context),
        Effect.map((arena) => ({ context, arena })),
      )
    }),
  )
  const { context, arena } = Effect.runSync(Scope.provide(built, scope))
  made.gated = true
  return {
    config,
    arena,
    device: made,
    context,
    scope,
    values: [{ cache: KvCache.empty(arena), rows: [] }],
    guards: [],
    running: new Set(),
    outcomes,
    images: new Map(),
    nextRow: 0,
    faulty: false,
    defect: undefined,
  }
}

/** Row numbers nobody has used. */
export const rows = (world: World, n: number): ReadonlyArray<number> =>
  Array.from({ length: n }, () => world.nextRow++)

/** Rows of these numbers on the device, for as long as the world stands. */
export const uploaded = (world: World, ids: ReadonlyArray<number>): KvCache.Rows =>
  Effect.runSync(
    upload(world.arena.layout, ids).pipe(
      Effect.provideContext(world.context),
      Scope.provide(world.scope),
    ),
  )

/** The i-th newest value. */
export const valueAt = (world: World, i: number): Value =>
  world.values[world.values.length - 1 - i % world.values.length]!

/** Opens a lease. */
export const open = (world: World): Guard => {
  const scope = Scope.makeUnsafe()
  const owner = Effect.runSync(Scope.provide(Lease.make(world.arena), scope))
  const guard = { owner, scope, whole: new Set<View>() }
  world.guards.push(guard)
  return guard
}

/** An open lease; −1 is the oldest of all, open or not. */
export const guardAt = (world: World, i: number): Guard => {
  const usable = world.guards.filter(({ owner }) => owner.open)
  if (usable.length === 0) return open(world)
  return i < 0 ? world.guards[0]! : usable[i % usable.length]!
}

/** Closes a lease's scope. */
export const close = ({ scope, whole }: Guard): void => {
  Effect.runSync(Scope.close(scope, Exit.void))
  whole.clear()
}

/**
 * Must this value be readable? A lease guards a view of its node that is at least as wide, or its base, or a
 * step of the same run has made it.
 */
export const alive = (
  world: World,
  cache: KvCache,
  made: ReadonlySet<KvCache["node"]> = new Set(),
): boolean => {
  if (made.has(cache.node)) return true
  if (cache.length === 0 && cache.node.tables !== undefined) return true
  for (const { owner, whole } of world.guards) {
    if (!owner.open) continue
    for (const { node, length, starts } of whole) {
      const wider = length >= cache.length && starts.every((s, g) => s <= cache.starts[g]!)
      if (node === cache.node && wider) return true
    }
  }
  const { tables, rows: owed, base } = cache.node
  return tables === undefined && owed !== undefined && alive(world, base!, made)
}

/** What an undone operation must leave as it was; generations of free blocks may rise. */
export const picture = ({ arena }: World): unknown =>
  arena.ledgers.map((ledger) => {
    const free = new Set(ledger.free.subarray(0, ledger.numFree))
    return {
      free: [...free].sort((a, b) => a - b),
      references: [...ledger.references],
      fill: [...ledger.fill],
      generation: [...ledger.generation].map((now, id) => free.has(id) ? "any" : now),
    }
  })

/** Starts a fiber; a defect in it fails the world, a typed failure is counted. */
export const start = <A>(
  world: World,
  work: Effect.Effect<A, unknown, Gpu>,
): Fiber.Fiber<A, unknown> => {
  const fiber = Effect.runForkWith(world.context)(inOneTick(work))
  world.running.add(fiber)
  fiber.addObserver((exit) => {
    world.running.delete(fiber)
    if (Exit.isSuccess(exit)) return
    const { cause } = exit
    if (Cause.hasDies(cause)) world.defect ??= { cause: Cause.squash(cause) }
    if (Cause.hasInterruptsOnly(cause)) count(world, "Interrupted")
  })
  return fiber
}

/** Lets everything run to its end. */
export const settle = (world: World): void => {
  while (world.running.size > 0) {
    if (world.defect !== undefined) throw world.defect.cause
    assert.ok(world.device.waiting.length > 0, "an effect never ends")
    world.device.tick(0)
  }
}

/** `Lease.keep`, and what it must mean. */
export const keep = (world: World, guard: Guard, values: ReadonlyArray<Value>): void => {
  const { arena } = world
  const sure = values.every(({ cache }) => alive(world, cache))
  const before = picture(world)
  const { open } = guard.owner
  const kept = Effect.runSync(
    Effect.result(Lease.under(guard.owner)(Lease.keep(values.map(({ cache }) => cache)))),
  )
  if (Result.isFailure(kept)) {
    count(world, `keep ${kept.failure._tag}`)
    if (open) assert.equal(kept.failure._tag, "StaleCache", "law 5")
    else assert.equal(kept.failure._tag, "LeaseClosed", "law 5")
    if (open && sure) throw new Error("law 1: a value that must live cannot be kept")
    return assert.deepEqual(picture(world), before, "law 4: a refused keep changes nothing")
  }
  count(world, "kept")
  const reached = values.map(({ cache }) => placed(cache))
  guard.whole = new Set(reached)
  for (const [group, held] of guard.owner.held.entries()) {
    const want = new Set(reached.flatMap((at) => seenBlocks(at, group).map(({ id }) => id)))
    assert.deepEqual([...held].sort(), [...want].sort(), "keep holds exactly what is reached")
  }
  assert.equal(arena.owners.has(guard.owner), true)
}

/** Laws 1, 2, 3 and 5 on the world as it stands; then everything unseen is poisoned again (law 8). */
export const check = (world: World): void => {
  const { arena, values } = world
  if (world.defect !== undefined) throw world.defect.cause
  for (const [group, { numBlocks, references, free, numFree }] of arena.ledgers.entries()) {
    const recount = new Array<number>(numBlocks).fill(0)
    for (const { held } of arena.owners) for (const id of held[group]!) recount[id]!++
    assert.deepEqual([...references], recount, "law 3: references are those of the owners")
    const unused = new Set(free.subarray(0, numFree))
    assert.equal(unused.size, numFree, "law 3: no block is free twice")
    for (let id = 0; id < numBlocks; id++) {
      assert.equal(unused.has(id), recount[id] === 0, "law 3: a block is free or referenced")
    }
    assert.ok(!unused.has(numBlocks), "law 3: the dummy is never free")
  }
  const known = new Map<string, number>()
  for (const { cache, rows } of values) {
    const must = alive(world, cache)
    if (must) assert.ok(!recycled(placed(cache)), "law 1: a value that must live was recycled")
    if (cache.node.tables === undefined || recycled(cache)) continue
    for (const [group, { fill }] of arena.ledgers.entries()) {
      const { blockSize } = arena.layout
      for (const { id, index } of seenBlocks(cache, group)) {
        const end = Math.min(cache.length, (index + 1) * blockSize)
        assert.ok(fill[id]! >= end - index * blockSize, "law 2: a mark below what a value sees")
        for (let p = Math.max(cache.starts[group]!, index * blockSize); p < end; p++) {
          const slot = id * blockSize + p % blockSize
          const seen = known.get(`${group} ${slot}`)
          if (seen === rows[p]) continue
          assert.equal(seen, undefined, "law 2: two values see different rows in one slot")
          known.set(`${group} ${slot}`, rows[p]!)
          const whole = holds(arena, slot, images(world, group, rows[p]!))
          assert.ok(whole, `law 1: position ${p} (slot ${slot}, group ${group}) changed`)
        }
      }
    }
  }
  poisonUnseen(arena)
}

/** Law 10: everything ends, every lease closes, every scope closes, and nothing is left. */
export const end = (world: World): void => {
  settle(world)
  for (const guard of world.guards) close(guard)
  check(world)
  for (const { numFree, numBlocks } of world.arena.ledgers) {
    assert.equal(numFree, numBlocks, "law 10: all blocks are free")
  }
  assert.equal(world.arena.owners.size, 0, "law 10: no owner is left")
  world.device.drain()
  const live = Effect.runSync(Effect.provideContext(Gpu.live, world.context))
  Effect.runSync(Scope.close(world.scope, Exit.void))
  assert.ok(live.buffers > 0)
  const left = Effect.runSync(Effect.provideContext(Gpu.live, world.context))
  assert.deepEqual(left, { buffers: 0, bytes: 0 }, "law 10: no buffer is left")
}
