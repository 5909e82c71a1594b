/**
 * A part of a campaign as a process of its own, so that a crash or an endless loop is a finding and not the end:
 * `worker.ts SEED SECONDS [TEXT]` tries what has TEXT in its name and prints events as lines of JSON.
 *
 * @module
 */
import process from "node:process"
import { repeat } from "./repeat.ts"
import { named, trials } from "./trials.ts"

const [seed, seconds, text = ""] = process.argv.slice(2)
const chosen = trials.filter((trial) => named(trial).includes(text))
await repeat(chosen, Number(seed), Number(seconds), (event) => console.log(JSON.stringify(event)))
process.exit(0)
