/**
 * Runs the benches, prints their lines and saves them.
 *
 * `bench/main.ts [--filter NAME] [--json FILE]`
 *
 * @module
 */
import { writeFileSync } from "node:fs"
import { availableParallelism, cpus } from "node:os"
import process from "node:process"
import { parseArgs } from "node:util"
import { Effect } from "effect"
import { attention } from "./attention.ts"
import { bookkeeping } from "./bookkeeping.ts"
import { decode } from "./decode.ts"
import { growth } from "./growth.ts"
import { llama } from "./llama.ts"
import { load } from "./load.ts"
import { type Bench, digits, type Line, show } from "./report.ts"
import { snapshot } from "./snapshot.ts"
import { step } from "./step.ts"

const benches: ReadonlyArray<Bench> = [
  decode,
  attention,
  bookkeeping,
  growth,
  llama,
  load,
  step,
  snapshot,
]

const { values: { filter = "", json } } = parseArgs({
  options: { filter: { type: "string" }, json: { type: "string" } },
})
const chosen = benches.filter(({ name }) => name.includes(filter))
if (chosen.length === 0) {
  const names = benches.map(({ name }) => name).join(", ")
  console.error(`Cannot choose a bench by "${filter}": there are ${names}`)
  process.exit(1)
}

const { bun, deno } = process.versions as Readonly<Record<string, string | undefined>>
const runtime = bun !== undefined ? `Bun ${bun}` : `Deno ${deno}`
console.log(`${runtime} on ${cpus()[0]?.model ?? "unknown"}, ${availableParallelism()} cores`)

const saved: Array<Line> = []
for (const { run } of chosen) {
  for (const line of await Effect.runPromise(run)) {
    console.log(show(line))
    const { value, peerValue, ratio } = line
    saved.push({
      ...line,
      value: digits(value),
      params: { runtime, ...line.params },
      ...(peerValue !== undefined && { peerValue: digits(peerValue) }),
      ...(ratio !== undefined && { ratio: digits(ratio) }),
    })
  }
}
if (json !== undefined) writeFileSync(json, JSON.stringify(saved, null, 2) + "\n")
