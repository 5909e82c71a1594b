/**
 * How long does the embedded model take to load, and how much memory at most? Each measurement is a process of
 * its own, since a peak never falls: one that loads the model, and one that only imports the package.
 *
 * Run by itself with `load` or `import` as its argument, this file is that process.
 *
 * @module
 */
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { Gpu, Llama } from "../mod.ts"
import { median } from "./measure.ts"
import type { Bench, Line } from "./report.ts"

/** What such a process says. */
interface Said {
  readonly ms: number
  readonly weightsBytes: number
  /** Most memory the process ever had, in KiB. */
  readonly peak: number
}

const file = fileURLToPath(import.meta.url)
const processes = 5

/** Of this process. Where there is no such file: the figure that a Linux process inherits from its parent. */
const peak = (): number => {
  const status = "/proc/self/status"
  const found = existsSync(status) && /VmHWM:\s+(\d+)/.exec(readFileSync(status, "utf8"))
  return found ? Number(found[1]) : process.resourceUsage().maxRSS
}

const say = Effect.gen(function* () {
  const start = performance.now()
  let weightsBytes = 0
  if (process.argv[2] === "load") {
    const { weights } = yield* Effect.scoped(Llama.load())
    weightsBytes = weights.bytes
  }
  const ms = performance.now() - start
  const said: Said = { ms, weightsBytes, peak: peak() }
  console.log(JSON.stringify(said))
}).pipe(Effect.provide(Gpu.layerCpu()))

const child = (what: "load" | "import"): Said => {
  const flags = "deno" in process.versions ? ["run", "-A"] : []
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, file, what], {
    encoding: "utf8",
  })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout) as Said
}

const program = Effect.sync((): ReadonlyArray<Line> => {
  const runs = Array.from({ length: processes }, () => [child("import"), child("load")] as const)
  for (const [, { weightsBytes }] of runs) assert.equal(weightsBytes, 2_934_528)
  const params = { model: "kvasir-kjv-3m", weightsBytes: runs[0]![1].weightsBytes, processes }
  const line = (name: string, unit: string, value: number): Line => ({
    name: `load.${name}`,
    value,
    unit,
    device: "cpu",
    params,
  })
  const peaks = runs.map(([bare, loaded]) => (loaded.peak - bare.peak) / 1024)
  return [
    line("time", "ms", median(runs.map(([, { ms }]) => ms))),
    line("peak", "MiB", median(peaks)),
    line("peak.import", "MiB", median(runs.map(([bare]) => bare.peak / 1024))),
  ]
})

/** Milliseconds and MiB of a first `Llama.load`. */
export const load: Bench = { name: "load", run: program }

if (process.argv[1] === file && process.argv[2] !== undefined) {
  await Effect.runPromise(Effect.orDie(say))
}
