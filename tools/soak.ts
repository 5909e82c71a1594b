/**
 * Lives long: random operations on the embedded model, and whether memory grows meanwhile.
 *
 * `tools/soak.ts [--minutes M] [--seed S] [--device NAME] [--seconds T] [--most MB] [--ledger]`, or `--help`. The last line but
 * one is JSON for the ledger of campaigns; the last one says whether memory is flat. It fails if it is not, if a
 * buffer stays alive or if an operation fails.
 *
 * @module
 */
import { Effect, Result } from "effect"
import { appendFileSync } from "node:fs"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { layerOf } from "../lib/cli/device.ts"
import { path, type Soak } from "../property-tests/campaign/ledger.ts"
import { isFlat } from "../property-tests/soak/slope.ts"
import { type Sample, soak } from "../property-tests/soak/soak.ts"
import { origin } from "./origin.ts"

const help =
  `Generates, forks, cancels, chats, scores, snapshots and restores at random, and watches memory.

tools/soak.ts [--minutes M] [--seed S] [--device NAME] [--seconds T] [--most MB] [--ledger]

--minutes  how long, 30 unless told
--seed     decides the order of operations, 1 unless told
--device   auto, cpu, webgpu or dawn; cpu unless told
--seconds  length of a round, 10 unless told: after each everything is closed, garbage is collected and memory
           is looked at
--most     MB an hour by which memory may grow, 8 unless told: flat is a slope that is not surely above this,
           by two standard errors, for the whole process, the heap and what it holds outside
--ledger   adds the last line but one to the ledger of campaigns

Of Deno's engine garbage is only collected with --v8-flags=--expose-gc, which the task sets.`

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    seed: { type: "string", default: "1" },
    device: { type: "string", default: "cpu" },
    seconds: { type: "string", default: "10" },
    most: { type: "string", default: "8" },
    ledger: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
})
if (values.help) {
  console.log(help)
  process.exit()
}

const number = (name: "minutes" | "seed" | "seconds" | "most"): number => {
  const value = Number(values[name])
  if (values[name].trim() !== "" && Number.isFinite(value) && value >= 0) return value
  console.error(`Cannot take ${values[name]} as --${name}: it must be a number, at least 0`)
  process.exit(1)
}
const [minutes, seed, seconds, most] = [
  number("minutes"),
  number("seed"),
  number("seconds"),
  number("most"),
]

const figures = ({ hours, rss, heap, external }: Sample): string =>
  `${(60 * hours).toFixed(1).padStart(6)} min` +
  `  rss ${rss.toFixed(1)}  heap ${heap.toFixed(2)}  external ${external.toFixed(2)} MB`

const counts = new Map<string, number>()
const tell = (sample: Sample, rounds: number): void =>
  console.log(`${String(rounds).padStart(4)} ${figures(sample)}`)
const layer = await Effect.runPromise(Effect.result(layerOf(values.device)))
if (Result.isFailure(layer)) {
  console.error(layer.failure.message)
  process.exit(1)
}
const soaked = await soak(layer.success, { minutes, seed, seconds, tell }, counts).catch(
  (error: unknown) => error instanceof Error ? error : new Error(String(error)),
)
const said = [...counts].sort().map(([name, n]) => `${name} ${n}`).join(", ")
const operations = [...counts.values()].reduce((sum, n) => sum + n, 0)
if (soaked instanceof Error) {
  console.error(soaked)
  console.log(`failed after ${operations} operations of seed ${seed}: ${said}`)
  process.exit(1)
}

const { adapter, slopes, live, collected } = soaked
console.log(said)
if (!collected) console.log("garbage was not collected: this engine does not let us")
const rows = Object.entries(slopes)
for (const [name, { slope, error }] of rows) {
  console.log(`${name.padEnd(8)} ${slope.toFixed(2)} ± ${error.toFixed(2)} MB an hour`)
}
const rising = rows.filter(([, one]) => !isFlat(one, most)).map(([name]) => name)
const { slope, error } = slopes.rss
const root = fileURLToPath(new URL("../", import.meta.url))
const digits = (value: number): number => Number(value.toPrecision(4))
const line: Soak = {
  ...{ soak: "the embedded model", ...origin(root), device: adapter, seed, minutes, operations },
  ...{ slope: digits(slope), error: digits(error), flat: rising.length === 0, liveBuffers: live },
}
console.log(JSON.stringify(line))
const known = rows.every(([, one]) => Number.isFinite(one.error))
const flat = rising.length > 0
  ? `is NOT FLAT (${rising.join(", ")})`
  : known
  ? "is flat"
  : "was looked at too seldom to tell"
if (values.ledger && known) appendFileSync(root + path, JSON.stringify(line) + "\n")
console.log(
  `memory ${flat} after ${operations} operations in ${minutes} minutes, ${live} buffers alive`,
)
process.exit(rising.length === 0 && live === 0 ? 0 : 1)
