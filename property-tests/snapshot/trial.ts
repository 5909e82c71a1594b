/**
 * Any cache, saved over the snapshot of any other one, on a machine that stops anywhere; then restored, and stopped
 * anywhere again.
 *
 * @module
 */
import { Effect, Exit } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { Snapshot } from "../../mod.ts"
import type { Trial } from "../campaign/trial.ts"
import * as Shelf from "../models/shelf.ts"
import * as World from "../../testing/world/world.ts"
import * as Disk from "./disk.ts"
import { cacheOf, type Case, cases, tight } from "./shelves.ts"
import * as Stops from "./stops.ts"

/** Tries one case; how many operations were done. */
const attempt = (given: Case, older: number, at: number, seed: number): number => {
  const pick = Disk.picker(seed)
  const way = Stops.ways[pick(Stops.ways.length)]!
  const from = Shelf.make(given.layout)
  const cache = cacheOf(from, given)
  const short = Shelf.cacheOf(from, given.ids.slice(0, older))
  const disk = Disk.make()
  const on = <A, E, R>(where: Disk.Disk, effect: Effect.Effect<A, E, R>) =>
    Effect.provideService(effect, Snapshot.Files.Service, where.files)
  const { blockTokens } = given
  Shelf.run(from, on(disk, Snapshot.save("f", "a", short, { blockTokens, note: "old" })))
  const saving = Stops.at(at, way)
  const saved = Stops.run(
    from,
    disk,
    saving,
    Snapshot.save("f", "a", cache, { blockTokens, note: "new" }),
  )
  assert.ok(Exit.isSuccess(saved) || !Exit.hasDies(saved))
  assert.deepEqual(disk.paths().filter((path) => path.endsWith(".partial")), [])
  const crashed = disk.crash(pick)
  const snapshot = Effect.runSync(on(crashed, Snapshot.open("f", "a")))
  const isNew = snapshot.header.note === "new"
  assert.ok(isNew || !Exit.isSuccess(saved), "a save that succeeded was lost")

  const to = tight(given, 24)
  const before = World.picture(to.world)
  const restoring = Stops.at(pick(40), Stops.ways[pick(Stops.ways.length)]!)
  const { arena } = to.world
  const stopped = Stops.run(to, crashed, restoring, Snapshot.restore(arena, snapshot))
  if (Exit.isFailure(stopped)) {
    assert.ok(!Exit.hasDies(stopped))
    assert.deepEqual(World.picture(to.world), before, "law 4")
  }
  const restored = Exit.isSuccess(stopped)
    ? stopped.value
    : Shelf.run(to, on(crashed, Snapshot.restore(arena, snapshot)))
  to.world.values.push({
    cache: restored.cache,
    rows: isNew ? given.ids : given.ids.slice(0, older),
  })
  to.guard.whole.add(restored.cache)
  World.check(to.world)
  const wanted = Shelf.gather(from, isNew ? cache : short)
  assert.deepEqual(Shelf.gather(to, restored.cache), wanted)
  Shelf.end(from)
  Shelf.end(to)
  return saving.done.length + restoring.done.length
}

const draws = fc.record({
  given: cases,
  older: fc.nat(24),
  at: fc.nat(80),
  seed: fc.nat(2 ** 30),
})

const programs = 12

/** Saves and restores that are stopped. */
export const snapshots: Trial = {
  name: "stopped snapshots",
  adapter: "cpu",
  share: 1,
  batch: (seed) =>
    Promise.resolve().then(() => {
      let states = 0
      fc.assert(
        fc.property(draws, ({ given, older, at, seed }) => {
          states += attempt(given, older, at, seed)
        }),
        { numRuns: programs, seed },
      )
      return { executions: programs, states }
    }),
}
