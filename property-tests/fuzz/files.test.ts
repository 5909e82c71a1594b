/** Files, vocabularies and templates out of a fuzzer: a few batches of what a campaign repeats. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import process from "node:process"
import {
  type Case,
  cases,
  chatCase,
  type Counts,
  folders,
  ggufCase,
  safetensorsCase,
  tokenizerCase,
} from "../campaign/files.ts"
import { onlyTheirs, unlike } from "./gguf/differences.ts"

/** Another one each run, unless it is given. */
const seed = Number(process.env["FC_SEED"] ?? Date.now() % 2 ** 31)

const tries = async (count: number, run: Case): Promise<Counts> => {
  const counts: Counts = new Map()
  await cases(seed, count, run, counts)
  return counts
}

/** How many came out as one of these. */
const of = (counts: Counts, ...names: ReadonlyArray<string>): number =>
  names.reduce((sum, name) => sum + (counts.get(name) ?? 0), 0)

const enough = (counts: Counts, ...names: ReadonlyArray<string>): void => {
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0)
  const found = of(counts, ...names)
  assert.ok(found > all / 400, `${found} of ${all} are ${names.join(", ")}, of batch ${seed}`)
}

test(
  "GGUF files that are sound are read as described, others are refused, all beside another reader",
  {
    timeout: 60_000,
  },
  async () => {
    const counts = await tries(4000, ggufCase)
    enough(counts, "taken")
    enough(counts, "refused")
    enough(counts, "equal")
    enough(counts, "both refuse")
    enough(counts, "model taken")
    enough(counts, "model refused")
    enough(counts, ...onlyTheirs.map(({ kind }) => kind))
    enough(counts, ...unlike.map(({ kind }) => kind))
  },
)

test("safetensors files that are sound are read as described, others are refused", {
  timeout: 60_000,
}, async () => {
  const counts = await tries(6000, safetensorsCase)
  enough(counts, "taken")
  enough(counts, "refused")
})

test("vocabularies of folders are refused, or cut texts as another reader does", {
  timeout: 60_000,
}, async () => {
  const counts = await tries(500, tokenizerCase)
  enough(counts, "equal")
  enough(counts, "refused")
})

test("chat templates are run or refused, in time and in bounds", { timeout: 60_000 }, async () => {
  const counts = await tries(800, chatCase)
  enough(counts, "taken")
  enough(counts, "refused")
})

test("folders whose files are spoilt are opened or refused", { timeout: 60_000 }, async () => {
  const counts: Counts = new Map()
  for (const which of [0, 1, 2]) await folders(seed - seed % 3 + which, 60, counts)
  enough(counts, "taken")
  enough(counts, "refused")
})

test("a batch gives the same cases again", async () => {
  const twice = await Promise.all([0, 1].map(async () => {
    const counts: Counts = new Map()
    await cases(7, 300, safetensorsCase, counts)
    return [...counts]
  }))
  assert.deepEqual(twice[0], twice[1])
})
