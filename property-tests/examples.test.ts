/** Every example runs and asserts what it prints. @module */
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { readdirSync } from "node:fs"
import process from "node:process"
import { test } from "node:test"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../", import.meta.url))
const examples = readdirSync(`${root}examples`).filter((file) => file.endsWith(".ts")).sort()
const flags = process.versions["bun"] === undefined ? ["run", "-A"] : []

test("examples are there to be run", () => assert.ok(examples.length > 0))

for (const example of examples) {
  test(`examples/${example} runs`, { timeout: 120_000 }, () => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [...flags, `examples/${example}`],
      { cwd: root, encoding: "utf8", timeout: 110_000 },
    )
    assert.equal(status, 0, `${stdout}\n${stderr}`)
  })
}
