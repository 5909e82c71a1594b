/**
 * The only gate: format, lint, types, docs and their examples, publish dry run, then house
 * rules and tests.
 *
 * Prints one line a gate, its output only on failure, and ends as the tests end: the slowest, the
 * skipped, `N passed, N failed[, N skipped]`.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { normalize, relative } from "node:path"
import process from "node:process"
import manifest from "../deno.json" with { type: "json" }

interface Outcome {
  readonly ok: boolean
  /** Shown on failure. */
  readonly output: string
  /** Shown on success. */
  readonly summary?: string
}

const deno = (...args: ReadonlyArray<string>): Outcome => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...args], {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
    maxBuffer: 2 ** 28,
  })
  return { ok: status === 0, output: `${stderr}${stdout}`.trimEnd() }
}

const entries: ReadonlyArray<string> = Object.values(manifest.exports)

const published = (): string => {
  const inside = ["lib", "kernels", "testing"].flatMap((folder) =>
    readdirSync(folder, { encoding: "utf8", recursive: true }).map((file) => `${folder}/${file}`)
  )
  const sources = [...entries, ...inside].filter((file) => file.endsWith(".ts"))
  return sources.map((file) => readFileSync(file, "utf8")).join("\n")
}

/**
 * `deno doc --lint`, less what cannot be mended here: types of npm packages, which it calls private; the
 * annotated base that keeps a tagged error free of slow types (`class StaleCache extends StaleCacheBase`); and
 * what an alias with parameters in an entry file stands for, as `Tensor` for `Tensor.Tensor`: it does not look
 * into the namespaces that the same file exports.
 */
const docs = (): Outcome => {
  const { ok, output } = deno("doc", "--lint", ...entries)
  const faults = output.split(/\n(?=error)/).filter((fault) => fault.startsWith("error["))
  // Without a list of faults a failure is the tool's own.
  if (ok || faults.length === 0) return { ok, output }
  const source = published()
  const ours = faults.filter((fault) => {
    const [, place = ""] = /\n +--> (.+?):\d/.exec(fault) ?? []
    if (entries.some((entry) => relative("", place) === normalize(entry))) return false
    const [, owner, referenced] = /type '(.+)' references private type '(.+)'/.exec(fault) ?? []
    const declaration = /\n *\d+ \| (.+)\n[ |-]+this is the referenced type/.exec(fault)?.[1]
    if (owner === undefined || declaration === undefined) return true
    return referenced !== `${owner}Base` && source.includes(declaration)
  })
  return { ok: ours.length === 0, output: ours.join("\n") }
}

const tests = (): Outcome => {
  const { ok, output } = deno("run", "-A", "tools/test.ts")
  return { ok, output, summary: output.slice(output.lastIndexOf("\nslowest\n")) }
}

const gates: ReadonlyArray<readonly [name: string, run: () => Outcome]> = [
  ["format", () => deno("fmt", "--check")],
  ["lint", () => deno("lint")],
  ["types", () => deno("check")],
  ["docs", docs],
  ["examples", () => deno("test", "--doc", "-A", "mod.ts", "lib", "kernels", "testing")],
  ["publish", () => deno("publish", "--dry-run", "--allow-dirty")],
  ["tests", tests],
]

for (const [name, run] of gates) {
  const start = performance.now()
  const { ok, output, summary } = run()
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  console.log(`${name.padEnd(8)} ${seconds.padStart(6)} s  ${ok ? "ok" : "FAILED"}`)
  if (!ok) process.exitCode = 1
  const shown = ok ? summary : output
  if (shown !== undefined) console.log(shown)
}
