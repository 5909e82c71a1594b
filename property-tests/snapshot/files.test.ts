/** The files of the machine: what snapshots ask of them. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { Snapshot } from "../../mod.ts"

const files = Snapshot.Files.node

const within = async (act: (folder: string) => Effect.Effect<void, Snapshot.Files.Refusal>) => {
  const folder = mkdtempSync(join(tmpdir(), "kvasir-files-"))
  try {
    await Effect.runPromise(act(folder))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test("Files.node reads no more bytes than are asked for, and none where there is no file", () =>
  within((folder) =>
    Effect.gen(function* () {
      const path = join(folder, "a")
      yield* files.write(path, Uint8Array.of(1, 2, 3))
      yield* files.sync(path)
      for (const most of [0, 1, 2, 3, 4]) {
        const found = yield* files.read(path, most)
        assert.deepEqual([...found!], [1, 2, 3].slice(0, most))
      }
      assert.equal(yield* files.read(join(folder, "b"), 9), undefined)
    })
  ))

test("Files.node gives a file another name in place of the one that had it, and takes it away", () =>
  within((folder) =>
    Effect.gen(function* () {
      const inner = join(folder, "some", "inner")
      yield* files.folder(inner)
      yield* files.folder(inner)
      const [a, b] = [join(inner, "a"), join(inner, "b")]
      yield* files.write(a, Uint8Array.of(1))
      yield* files.write(b, Uint8Array.of(2))
      yield* files.rename(a, b)
      yield* files.sync(inner)
      assert.deepEqual(yield* files.list(inner), ["b"])
      assert.deepEqual(yield* files.read(b, 9), Uint8Array.of(1))
      for (let twice = 0; twice < 2; twice++) yield* files.remove(b)
      assert.deepEqual(yield* files.list(inner), [])
    })
  ))

test("Files.node says why the machine did not do it", () =>
  within((folder) =>
    Effect.gen(function* () {
      const path = join(folder, "none", "a")
      const missing = yield* Effect.result(files.write(path, new Uint8Array(1)))
      assert.ok(Result.isFailure(missing))
      assert.deepEqual(missing.failure, { path, reason: "there is no such file or folder" })
    })
  ))
