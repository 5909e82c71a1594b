/** `tools/soak.ts` as a command. @module */
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import process from "node:process"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import { parse } from "../campaign/ledger.ts"

const tool = fileURLToPath(new URL("../../tools/soak.ts", import.meta.url))
const flags = process.versions["bun"] === undefined ? ["run", "-A", "--v8-flags=--expose-gc"] : []

const run = (...words: ReadonlyArray<string>) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, tool, ...words], {
    encoding: "utf8",
  })
  return { status, lines: stdout.trim().split("\n"), stderr }
}

test("soak says what a campaign's ledger needs, and last whether memory is flat", {
  timeout: 60_000,
}, () => {
  const { status, lines, stderr } = run("--minutes", "0.02", "--seconds", "0.3", "--seed", "5")
  assert.equal(status, 0, stderr)
  const line = JSON.parse(lines.at(-2)!) as Readonly<Record<string, unknown>>
  assert.deepEqual([line["soak"], line["minutes"], line["seed"], line["liveBuffers"]], [
    ...["the embedded model", 0.02, 5, 0],
  ])
  assert.ok(Number(line["operations"]) > 0)
  // Too few rounds for a slope: what JSON has no number for.
  const whole = JSON.stringify({ ...line, slope: line["slope"] ?? 0, error: line["error"] ?? 0 })
  assert.equal(parse(whole).length, 1)
  assert.match(
    lines.at(-1)!,
    /^memory (is flat|was looked at too seldom to tell) after \d+ operations in 0\.02 minutes, 0 buffers/,
  )
})

test("soak refuses what is no number and no device", { timeout: 60_000 }, () => {
  const odd = run("--minutes", "long")
  assert.deepEqual([odd.status, odd.stderr], [
    1,
    "Cannot take long as --minutes: it must be a number, at least 0\n",
  ])
  assert.match(run("--device", "abacus").stderr, /--device takes auto, cpu, webgpu, dawn/)
})
