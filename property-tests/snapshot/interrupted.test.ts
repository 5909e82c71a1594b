/** A save of real files that is interrupted while the file system works. @module */
import { Effect, Fiber } from "effect"
import assert from "node:assert/strict"
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"
import { setTimeout } from "node:timers/promises"
import { Arena, Gpu, Lease, Snapshot } from "../../mod.ts"
import { cacheOf, layout, tokensOf } from "./counted.ts"

const place = mkdtempSync(join(tmpdir(), "kvasir-stopped-"))
after(() => rmSync(place, { recursive: true }))

const handles = "/proc/self/fd"

/** Files that this process has open, where the machine tells. */
const numOpen = (): number => existsSync(handles) ? readdirSync(handles).length : 0

// An operation of node:fs goes on when nobody waits for it: it made its file after that was taken away.
test("Snapshot.save() interrupted in an operation of a real file leaves no file and no handle", () =>
  Effect.runPromise(Effect.provide(
    Effect.scoped(Effect.gen(function* () {
      const arena = yield* Arena.make(layout, 64)
      yield* Lease.scoped(arena)(Effect.gen(function* () {
        const cache = yield* cacheOf(arena, 1)
        yield* Snapshot.save(place, "a", yield* cacheOf(arena, 0), { note: "old" })
        const before = numOpen()
        for (let number = 0, more = true; more; number++) {
          let left = number
          const waiting = Promise.withResolvers<void>()
          const on = <A, E>(run: Effect.Effect<A, E>) =>
            Effect.suspend(() => {
              if (left-- === 0) waiting.resolve()
              return run
            })
          const { node } = Snapshot.Files
          const files: Snapshot.Files.Files = {
            ...node,
            write: (path, bytes) => on(node.write(path, bytes)),
            sync: (path) => on(node.sync(path)),
            rename: (from, to) => on(node.rename(from, to)),
          }
          const saving = Snapshot.save(place, "a", cache, { note: "new", blockTokens: 32 })
          const fiber = yield* Effect.forkChild(
            Effect.provideService(saving, Snapshot.Files.Service, files),
          )
          const ended = Effect.as(Fiber.await(fiber), false)
          more = yield* Effect.raceFirst(
            ended,
            Effect.promise(() => waiting.promise.then(() => true)),
          )
          yield* Fiber.interrupt(fiber)
          const names = () =>
            readdirSync(place, { recursive: true, encoding: "utf8" }).filter((name) =>
              name.endsWith(".partial")
            )
          assert.deepEqual(names(), [])
          assert.equal(numOpen(), before)
          yield* Effect.promise(() => setTimeout(15))
          assert.deepEqual(names(), [])
          const snapshot = yield* Snapshot.open(place, "a")
          const { cache: again, note } = yield* Snapshot.restore(arena, snapshot)
          assert.equal(again.length, tokensOf(note === "new" ? 1 : 0))
          assert.ok(more || note === "new")
          yield* Lease.keep([cache])
        }
      }))
    })),
    Gpu.layerCpu({ poison: true }),
  )))
