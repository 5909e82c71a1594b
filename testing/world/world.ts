/**
 * What must hold of a world, whatever happened in it: the laws of its books and of its memory.
 *
 * @module
 */
import { Effect, Exit, Result, Scope } from "effect"
import assert from "node:assert/strict"
import { Lease } from "../../mod.ts"
import { inOneTick } from "./device.ts"
import type { Value } from "./readings.ts"
import {
  alive,
  blocksOf,
  close,
  count,
  type Guard,
  imageAt,
  must,
  picture,
  placed,
  recycled,
  settled,
  span,
  type World,
} from "./state.ts"
import { copiedFrom, holds, type Memory, type Poison, poisonUnseen } from "./storage.ts"

export * from "./state.ts"

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
    const { _tag } = kept.failure
    count(world, `keep ${_tag}`)
    const why = open ? "StaleCache" : "LeaseClosed"
    must(world, "noSilentCorruption", _tag === why, `keep failed with ${_tag}, not ${why}`)
    must(world, "persistence", !(open && sure), "a value that must live cannot be kept")
    must(world, "atomicity", picture(world) === before, "a refused keep changed something")
    return
  }
  must(world, "noSilentCorruption", open, "a closed lease kept values")
  count(world, "kept")
  const reached = values.map(({ cache }) => placed(cache))
  guard.whole = new Set(reached)
  for (const [group, held] of guard.owner.held.entries()) {
    const want = new Set(reached.flatMap((at) => {
      return [...blocksOf(at, group).ids.subarray(...span(at, group))]
    }))
    const same = held.size === want.size && [...held].every((id) => want.has(id))
    must(world, "conservation", same, "keep does not hold exactly what its values reach")
  }
  assert.equal(arena.owners.has(guard.owner), true)
}

/** Law 3 on the books of an arena. */
export const conserved = (world: Pick<World, "arena" | "tally">): void => {
  const { ledgers, owners } = world.arena
  for (const [group, { numBlocks, references, free, numFree }] of ledgers.entries()) {
    const recount = new Uint32Array(numBlocks)
    for (const { held } of owners) for (const id of held[group]!) recount[id]!++
    const unused = new Set(free.subarray(0, numFree))
    must(world, "conservation", unused.size === numFree, "a block is free twice")
    must(world, "conservation", !unused.has(numBlocks), "the dummy is free")
    for (let id = 0; id < numBlocks; id++) {
      if (references[id] !== recount[id]) {
        const detail = `block ${id} of group ${group} has ${references[id]} references`
        must(world, "conservation", false, `${detail}, and ${recount[id]} owners`)
      }
      if (unused.has(id) !== (recount[id] === 0)) {
        const detail = `block ${id} of group ${group} is ${unused.has(id) ? "" : "not "}free`
        must(world, "conservation", false, `${detail}, and has ${recount[id]} owners`)
      }
    }
  }
}

/** The books: laws 3 and 10 as the world stands. */
const books = (world: World): void => {
  const { arena, guards, running } = world
  if (world.defect !== undefined) throw world.defect.cause
  conserved(world)
  if (running.size > 0) return
  const open = guards.filter(({ owner }) => owner.open).length
  const owners = arena.owners.size
  must(world, "noLeak", owners === open, `${owners} owners are left, and ${open} leases are open`)
}

/** What every value sees, in the pools: laws 1 and 2 as the world stands. */
const data = (world: World, memory: Memory): void => {
  const { arena, values, places } = world
  const { blockSize } = arena.layout
  must(world, "persistence", true, "")
  must(world, "writeOnce", true, "")
  const known = arena.ledgers.map(({ numBlocks }) => new Int32Array(numBlocks * blockSize))
  for (const { cache, rows } of values) {
    const gone = recycled(placed(cache))
    if (gone) must(world, "persistence", !alive(world, cache), "a value that must live is recycled")
    if (cache.node.tables === undefined || gone) continue
    for (const [group, { fill }] of arena.ledgers.entries()) {
      const { ids } = blocksOf(cache, group)
      const [from, to] = span(cache, group)
      for (let index = from; index < to; index++) {
        const id = ids[index]!
        const end = Math.min(cache.length, (index + 1) * blockSize)
        if (fill[id]! < end - index * blockSize) {
          must(world, "writeOnce", false, `the mark of block ${id} is below what a value sees`)
        }
        for (let p = Math.max(cache.starts[group]!, index * blockSize); p < end; p++) {
          const slot = id * blockSize + p % blockSize
          const seen = known[group]![slot]! // one more than the row
          if (seen === rows[p]! + 1) continue
          if (seen !== 0) {
            must(world, "writeOnce", false, "two values see different rows in one slot")
          }
          known[group]![slot] = rows[p]! + 1
          const image = imageAt(world, group, rows[p]!)
          if (holds(places[group]!, memory, blockSize, slot, image)) continue
          const where = `position ${p} of a value (slot ${slot} of group ${group})`
          must(world, "persistence", false, `${where} changed`)
        }
      }
    }
  }
}

/** Laws 1, 2, 3 and 10 on the world as it stands, on the CPU; then everything unseen is poisoned again (law 8). */
export const check = (world: World): void => {
  const { arena, places, memory, config } = world
  books(world)
  data(world, memory!)
  poisonUnseen(arena, places, memory!, config.poison ?? "nan")
}

/** The same on any device; what lies on it is looked at only if asked for. */
export const checked = (world: World, thorough: boolean): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { arena, places, device: { base }, config } = world
    if (world.memory !== undefined) return check(world)
    books(world)
    if (!thorough) return
    const memory = yield* Effect.orDie(copiedFrom(arena, base))
    data(world, memory)
    poisonUnseen(arena, places, memory, config.poison ?? "nan")
    for (const [pool, { slot }] of arena.pools.entries()) base.write(slot.buffer!, memory[pool]!)
  })

/** Poisons everything unseen with something else. */
export const poisoned = (world: World, poison: Poison): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { arena, places, device: { base } } = world
    const memory = world.memory ?? (yield* Effect.orDie(copiedFrom(arena, base)))
    poisonUnseen(arena, places, memory, poison)
    if (world.memory !== undefined) return
    for (const [pool, { slot }] of arena.pools.entries()) base.write(slot.buffer!, memory[pool]!)
  })

/** Law 10: everything ends, every lease closes, every scope closes, and nothing is left. */
export const ended = (world: World): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* settled(world)
    for (const guard of world.guards) close(guard)
    yield* checked(world, true)
    for (const { numFree, numBlocks } of world.arena.ledgers) {
      const detail = `${numFree} of ${numBlocks} blocks are free when no lease is open`
      must(world, "noLeak", numFree === numBlocks, detail)
    }
    const owners = world.arena.owners.size
    must(world, "noLeak", owners === 0, `${owners} owners are left`)
    yield* Effect.orDie(world.device.drain)
    const { live } = world.device
    assert.ok(live().buffers > 0)
    Effect.runSync(Scope.close(world.scope, Exit.void))
    const { buffers, bytes } = live()
    const detail = `${buffers} buffers of ${bytes} bytes are left`
    must(world, "noLeak", buffers === 0 && bytes === 0, detail)
  })

/** The same, on the CPU. */
export const end = (world: World): void => Effect.runSync(inOneTick(ended(world)))
