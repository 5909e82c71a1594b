/** Real files, and a process that is killed while it saves. @module */
import { Effect } from "effect"
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { after, test } from "node:test"
import { fileURLToPath } from "node:url"
import {
  Arena,
  BadSnapshot,
  Gpu,
  KvCache,
  Lease,
  Program,
  Snapshot,
  SnapshotNotSaved,
} from "../../mod.ts"
import { cacheOf, layout, rowsOf, tokens } from "./counted.ts"

const place = mkdtempSync(join(tmpdir(), "kvasir-snapshot-"))
after(() => rmSync(place, { recursive: true }))

const child = fileURLToPath(new URL("child.ts", import.meta.url))
const flags = process.versions["bun"] === undefined ? ["run", "-A"] : []

/** Kills a saving process so many milliseconds after its first save; the number it said last. */
const killed = (folder: string, milliseconds: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const saving = spawn(process.execPath, [...flags, child, folder])
    let [said, errors, timer] = ["", "", false]
    saving.stderr.on("data", (data) => errors += data)
    saving.stdout.on("data", (data) => {
      said += data
      if (timer) return
      timer = true
      setTimeout(() => saving.kill("SIGKILL"), milliseconds)
    })
    saving.on("error", reject)
    saving.on("close", (_, signal) => {
      const lines = said.split("\n").slice(0, -1)
      if (signal === "SIGKILL" && lines.length > 0) resolve(Number(lines.at(-1)))
      else reject(new Error(`the child ended by itself: ${said} ${errors}`))
    })
  })

const withArena = <A, E>(body: (arena: Arena) => Effect.Effect<A, E, Gpu | Lease>) =>
  Effect.runPromise(Effect.provide(
    Effect.scoped(Effect.gen(function* () {
      const arena = yield* Arena.make(layout, 32)
      return yield* Lease.scoped(arena)(body(arena))
    })),
    Gpu.layerCpu({ poison: true }),
  ))

for (const [i, milliseconds] of [2, 9, 17, 28, 41].entries()) {
  test(`Snapshot.save() killed after ${milliseconds} ms leaves a whole snapshot`, {
    timeout: 60_000,
  }, async () => {
    const folder = join(place, `killed ${i}`)
    const last = await killed(folder, milliseconds)
    await withArena((arena) =>
      Effect.scoped(Effect.gen(function* () {
        const snapshot = yield* Snapshot.open(folder, "kept")
        const { cache, note } = yield* Snapshot.restore(arena, snapshot)
        assert.ok(Number(note) === last || Number(note) === last + 1, `${note} after ${last}`)
        const { keys, values } = yield* Program.run(KvCache.gather(cache))
        assert.deepEqual(yield* Gpu.read(keys), rowsOf(Number(note)))
        assert.deepEqual(yield* Gpu.read(values), rowsOf(Number(note)))
        yield* Snapshot.prune(folder)
        assert.deepEqual(yield* Snapshot.names(folder), ["kept"])
        assert.equal(yield* Snapshot.prune(folder), 0)
        yield* Snapshot.restore(arena, yield* Snapshot.open(folder, "kept"))
      }))
    )
  })
}

test("Snapshot.save() and open() on real files: new folders, and what is not there", () =>
  withArena((arena) =>
    Effect.scoped(Effect.gen(function* () {
      const folder = join(place, "a", "new", "one")
      const missing = yield* Effect.flip(Snapshot.open(folder, "x"))
      assert.ok(missing instanceof BadSnapshot)
      assert.equal(
        missing.message,
        `Cannot restore the snapshot ${folder}/x.kvcache at byte 0: there is no such file`,
      )
      const cache = yield* cacheOf(arena, 3)
      const saved = yield* Snapshot.save(folder, "x", cache)
      assert.equal(saved.blocks, tokens / 64)
      const short = yield* Effect.fromResult(KvCache.truncate(cache, 100))
      const { newBlocks } = yield* Snapshot.save(folder, "y", short)
      assert.equal(newBlocks, 1)
      assert.deepEqual(yield* Snapshot.names(folder), ["x", "y"])
      const again = yield* Snapshot.restore(arena, yield* Snapshot.open(folder, "y"))
      assert.equal(again.cache.length, 100)
      const file = join(folder, "x.kvcache")
      const error = yield* Effect.flip(Snapshot.save(file, "z", cache))
      assert.ok(error instanceof SnapshotNotSaved)
      assert.match(
        error.message,
        /x\.kvcache\/blocks: (a folder of its path is a file|it is a file)/,
      )
      assert.match(
        (yield* Effect.flip(Snapshot.names(join(place, "no")))).message,
        /no such file or folder$/,
      )
    }))
  ))
