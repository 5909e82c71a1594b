/** Files stay small enough to be read at one sitting. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { code, sources } from "./tree.ts"

const most = 300

test(`sizes of sources stay within ${most} lines of code`, () => {
  const sizes = sources.map((file) => ({
    file,
    lines: code(file).split("\n").filter((line) => line.trim() !== "").length,
  }))
  assert.ok(sizes.length > 0)
  assert.deepEqual(sizes.filter(({ lines }) => lines > most), [])
})
