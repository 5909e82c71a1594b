/** Real files, and a process that is killed while it saves. @module */
import { Effect } from "effect"
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
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
import { cacheOf, layout, rowsOf, tokensOf } from "./counted.ts"

const place = mkdtempSync(join(tmpdir(), "kvasir-snapshot-"))
after(() => rmSync(place, { recursive: true }))

const child = fileURLToPath(new URL("child.ts", import.meta.url))
const flags = process.versions["bun"] === undefined ? ["run", "-A"] : []

/** Runs a process that saves; what it said: the last snapshot that was saved, and operations until then. */
const saving = (
  folder: string,
  kill?: readonly [number: number, when: "before" | "during"],
): Promise<readonly [last: number, operations: number]> =>
  new Promise((resolve, reject) => {
    const words = (kill ?? [Infinity, "before"]).map(String)
    const running = spawn(process.execPath, [...flags, child, folder, ...words])
    let [said, errors] = ["", ""]
    running.stderr.on("data", (data) => errors += data)
    running.stdout.on("data", (data) => said += data)
    running.on("error", reject)
    running.on("close", (code, signal) => {
      const [last, operations] = said.trim().split("\n").at(-1)!.split(" ").map(Number)
      if (kill === undefined ? code === 0 : signal === "SIGKILL") resolve([last!, operations!])
      else reject(new Error(`the process ended with ${code ?? signal}: ${said} ${errors}`))
    })
  })

const withArena = <A, E>(body: (arena: Arena) => Effect.Effect<A, E, Gpu | Lease>) =>
  Effect.runPromise(Effect.provide(
    Effect.scoped(Effect.gen(function* () {
      const arena = yield* Arena.make(layout, 400)
      return yield* Lease.scoped(arena)(body(arena))
    })),
    Gpu.layerCpu({ poison: true }),
  ))

/** Names of all files in the folder. */
const filesOf = (folder: string): ReadonlySet<string> =>
  new Set(readdirSync(folder, { recursive: true, encoding: "utf8" }))

const save = (arena: Arena, folder: string, i: number) =>
  Effect.scoped(Effect.gen(function* () {
    const cache = yield* cacheOf(arena, i)
    return yield* Snapshot.save(folder, "kept", cache, { note: `${i}`, blockTokens: 16 })
  }))

/** What restoring the snapshot gives is the whole cache of the number in its note, which it answers. */
const restored = (arena: Arena, folder: string) =>
  Effect.scoped(Effect.gen(function* () {
    const snapshot = yield* Snapshot.open(folder, "kept")
    const { cache, note } = yield* Snapshot.restore(arena, snapshot)
    const { keys, values } = yield* Program.run(KvCache.gather(cache))
    assert.deepEqual(yield* Gpu.read(keys), rowsOf(Number(note)))
    assert.deepEqual(yield* Gpu.read(values), rowsOf(Number(note)))
    return Number(note)
  }))

const kills = 20

test(
  `Snapshot.save() killed at ${kills} moments of two saves leaves a whole snapshot, and nothing in the way`,
  {
    timeout: 120_000,
  },
  async () => {
    const untouched = join(place, "untouched")
    const [, operations] = await saving(untouched)
    const known = filesOf(untouched)
    assert.ok(operations > 4 * kills, "too few operations to be spread over")
    const seen = [0, 0, 0]
    const kill = async (k: number) => {
      const folder = join(place, `killed ${k}`)
      const when = k % 2 === 0 ? "before" : "during"
      const [last] = await saving(folder, [Math.round(k / (kills - 1) * (operations - 1)), when])
      await withArena((arena) =>
        Effect.gen(function* () {
          const state = yield* restored(arena, folder)
          assert.ok(state === last || state === last + 1, `${state} after ${last}`)
          seen[state]!++
          yield* save(arena, folder, 2)
          const odd = [...filesOf(folder)].filter((file) => !known.has(file))
          assert.deepEqual(odd, [], "a file that whole saves would not have made")
          assert.equal(yield* restored(arena, folder), 2)
          yield* Snapshot.prune(folder)
          assert.equal(filesOf(folder).size, 2 + tokensOf(2) / 16) // the header and the folder of blocks
          assert.equal(yield* restored(arena, folder), 2)
        })
      )
    }
    const left = Array.from({ length: kills }, (_, k) => k)
    const worker = async () => {
      for (let k = left.shift(); k !== undefined; k = left.shift()) await kill(k)
    }
    await Promise.all([worker(), worker(), worker()])
    // The first save takes nearly half of the operations, the second as many; the last one may be through by then.
    assert.ok(seen[0]! >= 8 && seen[1]! >= 8, seen.join(" "))
  },
)

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
      assert.equal(saved.blocks, tokensOf(3) / 64)
      const short = yield* Effect.fromResult(KvCache.truncate(cache, 100))
      const { newBlocks } = yield* Snapshot.save(folder, "y", short)
      assert.equal(newBlocks, 1)
      assert.deepEqual(yield* Snapshot.names(folder), ["x", "y"])
      const again = yield* Snapshot.restore(arena, yield* Snapshot.open(folder, "y"))
      assert.equal(again.cache.length, 100)
      mkdirSync(join(folder, "z.kvcache"))
      assert.match(
        (yield* Effect.flip(Snapshot.open(folder, "z"))).message,
        /z\.kvcache at byte 0: it is a folder, and a file is needed$/,
      )
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
