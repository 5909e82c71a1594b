/** Every error a caller can meet is met by a test. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { code, sources } from "./tree.ts"

test("errors each have a test that names them", () => {
  const classes = [...code("lib/errors.ts").matchAll(/^export class (\w+)/gm)].map(([, name]) =>
    name
  )
  assert.ok(classes.length > 0)
  const tests = sources.filter((file) => file.endsWith(".test.ts")).map(code).join("\n")
  assert.deepEqual(classes.filter((name) => !new RegExp(`\\b${name}\\b`).test(tests)), [])
})
