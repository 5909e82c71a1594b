/**
 * Tries everything random that must hold, for as long as it is told, and adds what it did to the ledger.
 *
 * `tools/campaign.ts [--minutes M] [--seed S] [--trial TEXT] [--workers N]`, or `--batch SEED` to see one batch
 * again, or `--report` to write the ledger's totals into the report. Last `N executions, M findings`; it fails if
 * there is a finding. Ctrl-C ends it early, and what was done until then is kept.
 *
 * @module
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { adapters } from "../property-tests/adapters.ts"
import { type Entry, parse, path, totals } from "../property-tests/campaign/ledger.ts"
import type { Event, Named } from "../property-tests/campaign/repeat.ts"
import { page, renewed } from "../property-tests/campaign/report.ts"
import { seedOf } from "../property-tests/campaign/seeds.ts"
import { named, trials } from "../property-tests/campaign/trials.ts"
import * as Crew from "./crew.ts"
import { origin } from "./origin.ts"

const root = fileURLToPath(new URL("../", import.meta.url))
const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "2" },
    seed: { type: "string", default: `${Math.floor(Math.random() * 2 ** 31)}` },
    trial: { type: "string", default: "" },
    workers: { type: "string", default: "2" },
    batch: { type: "string" },
    report: { type: "boolean", default: false },
  },
})

const fail = (text: string): never => {
  console.error(text)
  process.exit(1)
}
const number = (name: "minutes" | "seed" | "workers" | "batch", least: number): number => {
  const given = Number(values[name])
  if (Number.isFinite(given) && given >= least) return given
  return fail(`Cannot take ${values[name]} as --${name}: it must be a number from ${least}`)
}

const write = (): void => {
  const lines = parse(existsSync(root + path) ? readFileSync(root + path, "utf8") : "")
  writeFileSync(root + page, renewed(readFileSync(root + page, "utf8"), lines))
  const open = totals(lines).reduce((sum, { open }) => sum + open, 0)
  console.log(
    `${page} says what ${lines.length} lines of the ledger come to: ${open} open findings`,
  )
}
if (values.report) {
  write()
  process.exit()
}

const chosen = trials.filter((trial) => named(trial).includes(values.trial))
if (chosen.length === 0) {
  fail(`Cannot find a trial by "${values.trial}": there are ${trials.map(named).join(", ")}`)
}
if (values.batch !== undefined) {
  process.env["SLACK"] = "1" // as a worker has it
  if (chosen.length > 1) fail(`Cannot tell whose batch it is: ${chosen.map(named).join(", ")}`)
  console.log(await chosen[0]!.batch(number("batch", 0)))
  process.exit()
}

const [seed, workers] = [number("seed", 0), number("workers", 1)]
const seconds = number("minutes", 0) * 60
const sums = new Map<string, { -readonly [K in keyof Entry]: Entry[K] }>()
const made = origin(root)

const partsOf = (trial: string, adapter: string): { readonly parts?: number } => {
  const { parts } = trials.find((one) => one.name === trial && one.adapter === adapter) ?? {}
  return parts === undefined ? {} : { parts }
}

const sumOf = ({ trial, adapter }: Named) => {
  const device = adapters.find(({ name }) => name === adapter)?.adapter ?? "host"
  const zero = { seconds: 0, batches: 0, executions: 0, states: 0, findings: [] }
  const sum = sums.get(`${trial} ${adapter}`) ??
    { ...made, trial, adapter, device, seed, ...zero, ...partsOf(trial, adapter) }
  sums.set(`${trial} ${adapter}`, sum)
  return sum
}

const hear = (event: Event): void => {
  if (event.kind === "begins") return
  const sum = sumOf(event)
  sum.seconds += event.seconds
  sum.batches++
  if (event.kind === "ended") {
    sum.executions += event.executions
    sum.states += event.states
  } else {
    // The seed shows all of it again.
    sum.findings = [...sum.findings, { seed: event.seed, text: event.text.slice(0, 500) }]
    const again = `--trial "${event.trial} [${event.adapter}]" --batch ${event.seed}`
    console.log(`FOUND deno task campaign ${again}\n${event.text}\n`)
  }
}

let stopped = false
const start = performance.now()
const left = (): number => seconds - (performance.now() - start) / 1000
const crew = Crew.make(`${root}property-tests/campaign/worker.ts`, hear)
const keepOn = async (index: number): Promise<void> => {
  for (let life = 0; life === 0 || left() > 1; life++) {
    const own = seedOf(seed, index, life)
    if (await crew.work([`${own}`, `${Math.max(0, left())}`, values.trial])) return
    if (stopped || life === 20) return
  }
}
const end = (): never => {
  for (const sum of sums.values()) {
    sum.seconds = Math.round(sum.seconds * 10) / 10
    appendFileSync(root + path, JSON.stringify(sum) + "\n")
    const rate = (sum.executions / Math.max(sum.seconds, 0.1)).toFixed(0)
    const { executions, states, findings } = sum
    console.log(
      `${named({ name: sum.trial, adapter: sum.adapter }).padEnd(32)} ${executions} executions, ` +
        `${states} states, ${rate} a second, ${findings.length} findings`,
    )
  }
  const all = [...sums.values()]
  const found = all.reduce((sum, { findings }) => sum + findings.length, 0)
  console.log(`seed ${seed}, ${made.runtime}, ${made.commit}`)
  console.log(`${all.reduce((sum, one) => sum + one.executions, 0)} executions, ${found} findings`)
  process.exit(stopped ? 130 : found > 0 ? 1 : 0)
}
process.on("SIGINT", () => {
  stopped = true
  crew.stop()
})

await Promise.all(Array.from({ length: workers }, (_, index) => keepOn(index)))
end()
