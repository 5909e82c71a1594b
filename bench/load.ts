/**
 * How long does a model take to load, and how much memory at most? Each measurement is a process of its own,
 * since a peak never falls: one that loads the model, and one that only imports the package and opens the
 * device. SmolLM2 is measured where it was fetched, and on WebGPU where the runtime has it.
 *
 * Run by itself with `load` or `import`, a device and a path, this file is that process.
 *
 * @module
 */
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, statSync } from "node:fs"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { Effect, Result } from "effect"
import { Gpu, Llama } from "../mod.ts"
import { fetched, fetchedFile } from "../property-tests/cases/fetched.ts"
import { median } from "./measure.ts"
import type { Bench, Line } from "./report.ts"

/** What such a process says. */
interface Said {
  readonly ms: number
  readonly weightsBytes: number
  /** Most memory the process ever had, in KiB. */
  readonly peak: number
}

/** A model on a device. */
interface Case {
  readonly model: string
  readonly path: string
  readonly device: "cpu" | "webgpu"
  readonly weightsBytes: number
}

const file = fileURLToPath(import.meta.url)
const processes = 5

/** Of this process. Where there is no such file: the figure that a Linux process inherits from its parent. */
const peak = (): number => {
  const status = "/proc/self/status"
  const found = existsSync(status) && /VmHWM:\s+(\d+)/.exec(readFileSync(status, "utf8"))
  return found ? Number(found[1]) : process.resourceUsage().maxRSS
}

const say = (what: string, path: string | undefined) =>
  Effect.gen(function* () {
    const start = performance.now()
    let weightsBytes = 0
    if (what === "load") {
      const { weights } = yield* Effect.scoped(Llama.load(path))
      weightsBytes = weights.bytes
    }
    const ms = performance.now() - start
    const said: Said = { ms, weightsBytes, peak: peak() }
    console.log(JSON.stringify(said))
  })

const child = (what: "load" | "import", { device, path }: Case): Said => {
  const flags = "deno" in process.versions ? ["run", "-A"] : []
  const words = [...flags, file, what, device, ...path === "" ? [] : [path]]
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: "utf8" })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout) as Said
}

const linesOf = (one: Case): ReadonlyArray<Line> => {
  const runs = Array.from(
    { length: processes },
    () => [child("import", one), child("load", one)] as const,
  )
  for (const [, { weightsBytes }] of runs) assert.equal(weightsBytes, one.weightsBytes)
  const { model, device, weightsBytes } = one
  const params = { model, weightsBytes, processes }
  const line = (name: string, unit: string, value: number): Line => ({
    name: `load.${name}`,
    value,
    unit,
    device,
    params,
  })
  const peaks = runs.map(([bare, loaded]) => (loaded.peak - bare.peak) / 1024)
  return [
    line("time", "ms", median(runs.map(([, { ms }]) => ms))),
    line("peak", "MiB", median(peaks)),
    ...one.path === ""
      ? []
      : [line("peak.file", "×", median(peaks) * 2 ** 20 / statSync(one.path).size)],
    line("peak.import", "MiB", median(runs.map(([bare]) => bare.peak / 1024))),
  ]
}

const program = Effect.sync((): ReadonlyArray<Line> => {
  const embedded = { model: "kvasir-kjv-3m", path: "", weightsBytes: 2_934_528 }
  const found = fetchedFile(fetched["smollm2"]!.file)
  const smollm2 = Result.isFailure(found)
    ? []
    : [{ model: "SmolLM2-135M", path: found.success, weightsBytes: 96_576_768 }]
  const { navigator } = globalThis as { navigator?: { gpu?: unknown } }
  const devices = navigator?.gpu === undefined ? ["cpu"] as const : ["cpu", "webgpu"] as const
  return [
    ...linesOf({ ...embedded, device: "cpu" }),
    ...smollm2.flatMap((one) => devices.flatMap((device) => linesOf({ ...one, device }))),
  ]
})

/** Milliseconds and MiB of a first `Llama.load`. */
export const load: Bench = { name: "load", run: program }

if (process.argv[1] === file && process.argv[2] !== undefined) {
  const [what, device, path] = process.argv.slice(2)
  const layer = device === "webgpu" ? Gpu.layerWebGpu : Gpu.layerCpu()
  await Effect.runPromise(Effect.orDie(Effect.provide(say(what!, path), layer)))
}
