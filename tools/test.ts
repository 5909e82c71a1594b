/**
 * Runs the tests under the runtime that runs this file, then says which were slow and which were
 * skipped. The last line is `N passed, N failed[, N skipped]`.
 *
 * `tools/test.ts [FILE…] [--filter TEXT]`
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { parseArgs } from "node:util"
import { absent, adapters } from "../property-tests/adapters.ts"
import { type Case, parse } from "./junit.ts"
import { reason } from "./skips.ts"

const { values: { filter }, positionals } = parseArgs({
  options: { filter: { type: "string" } },
  allowPositionals: true,
})
const files = positionals.length > 0 ? positionals : ["./property-tests"]

// Types are a gate of their own (`ok`). Bun's default of 5 s per test is too short for a slow machine.
const deno = (report: string): ReadonlyArray<string> => [
  ...["test", "-A", "--no-check", `--junit-path=${report}`],
  ...(filter === undefined ? [] : ["--filter", filter]),
]
const bun = (report: string): ReadonlyArray<string> => [
  ...["test", "--timeout=120000", "--reporter=junit", `--reporter-outfile=${report}`],
  ...(filter === undefined
    ? []
    : ["--test-name-pattern", filter.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")]),
]

const run = (): { readonly cases: ReadonlyArray<Case>; readonly end: number | string } => {
  const folder = mkdtempSync(join(tmpdir(), "kvasir-test-"))
  const report = join(folder, "junit.xml")
  const flags = process.versions["bun"] === undefined ? deno(report) : bun(report)
  const { status, signal } = spawnSync(process.execPath, [...flags, ...files], { stdio: "inherit" })
  const reported = existsSync(report)
  const cases = reported ? parse(readFileSync(report, "utf8")) : []
  rmSync(folder, { recursive: true })
  // Deno reports what a filter left out as skipped.
  const chosen = cases.filter((one) => one.outcome !== "skipped" || one.name.includes(filter ?? ""))
  return { cases: chosen, end: signal ?? (reported ? status ?? 1 : `${status} and no report`) }
}

const { cases, end } = run()
console.log(`\nadapters: ${adapters.map(({ name, adapter }) => `${name} (${adapter})`).join(", ")}`)
for (const { name, reason } of absent) console.log(`  without ${name}: ${reason}`)
const count = (outcome: Case["outcome"]): number =>
  cases.filter((one) => one.outcome === outcome).length
const [passed, failed, skipped] = [count("passed"), count("failed"), count("skipped")]

console.log("\nslowest")
const ran = cases.filter((one) => one.outcome !== "skipped")
for (const one of ran.sort((a, b) => b.seconds - a.seconds).slice(0, 10)) {
  console.log(`  ${one.seconds.toFixed(2).padStart(7)} s  ${one.name}  (${one.file})`)
}
if (skipped > 0) console.log("\nskipped")
for (const one of cases.filter((one) => one.outcome === "skipped")) {
  const device = absent.find(({ name }) => one.name.endsWith(`[${name}]`))
  const why = device?.reason ??
    (existsSync(one.file) && reason(readFileSync(one.file, "utf8"), one.name, one.line))
  console.log(`  ${one.name}: ${why || "no reason given"}  (${one.file})`)
}
// A file that does not load, a crash and an early exit are in no report.
const unreported = failed === 0 && end !== 0 ? 1 : 0
if (unreported) console.log(`\nCannot count these tests as passed: the runtime ended with ${end}`)
if (ran.length === 0) console.log("\nCannot count this run as passed: no test was executed")

console.log()
console.log(
  `${passed} passed, ${failed + unreported} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`,
)
process.exitCode = failed + unreported > 0 || ran.length === 0 ? 1 : 0
