/** Campaigns: time is shared out, seeds say everything, nothing that was found gets lost, the report is true. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { files, text } from "../house/tree.ts"
import { type Entry, parse, path, totals } from "./ledger.ts"
import { type Event, repeat } from "./repeat.ts"
import { page, renewed } from "./report.ts"
import type { Trial } from "./trial.ts"

const trial = (name: string, share: number, batch: Trial["batch"]): Trial => ({
  ...{ name, adapter: "host", share, batch },
})
const fine = () => Promise.resolve({ executions: 2, states: 6 })

const heard = async (
  trials: ReadonlyArray<Trial>,
  seed: number,
): Promise<ReadonlyArray<Event>> => {
  const events: Array<Event> = []
  await repeat(trials, seed, 0, (event) => events.push(event))
  return events
}

const entry: Entry = {
  ...{ at: "2026-01-01T00:00:00.000Z", commit: "abc", runtime: "Deno 2", device: "host", seed: 1 },
  ...{ trial: "files", adapter: "host", seconds: 3, batches: 1, executions: 100, states: 5 },
  findings: [{ seed: 4, text: "one" }, { seed: 5, text: "two" }],
}
test("repeat() tries every trial, with seeds that follow from the campaign's", async () => {
  const [once, again, other] = [
    await heard([trial("a", 1, fine), trial("b", 5, fine)], 7),
    await heard([trial("a", 1, fine), trial("b", 5, fine)], 7),
    await heard([trial("a", 1, fine), trial("b", 5, fine)], 8),
  ]
  const kinds = once.map(({ kind, trial }) => `${kind} ${trial}`)
  assert.deepEqual(kinds, ["begins a", "ended a", "begins b", "ended b"])
  const seeds = (events: ReadonlyArray<Event>) => events.map(({ seed }) => seed)
  assert.deepEqual(seeds(once), seeds(again))
  assert.equal(new Set([...seeds(once), ...seeds(other)]).size, 4)
})

test("repeat() tries each part of a trial once, however long it may take", async () => {
  const parts: Array<number> = []
  const whole = trial("whole", 1, (seed) => {
    parts.push(seed)
    return fine()
  })
  await repeat([{ ...whole, parts: 3 }], 7, 1000, () => {})
  assert.deepEqual(parts, [0, 1, 2])
  const line = JSON.stringify({ ...entry, findings: [], batches: 3, parts: 3 })
  assert.deepEqual(totals(parse(line)).map(({ exhausted }) => exhausted), [true])
  const short = JSON.stringify({ ...entry, findings: [], batches: 2, parts: 3 })
  assert.deepEqual(totals(parse(short)).map(({ exhausted }) => exhausted), [false])
})

test("repeat() goes on after a finding, and gives a trial up after three", async () => {
  let calls = 0
  const bad = trial("bad", 1000, () => {
    calls++
    return Promise.reject(new Error(`fault ${calls}`))
  })
  const events: Array<Event> = []
  await repeat([bad], 1, 5, (event) => events.push(event))
  const found = events.flatMap((event) => event.kind === "found" ? [event.text.split("\n")[0]] : [])
  assert.deepEqual(found, ["Error: fault 1", "Error: fault 2", "Error: fault 3"])
})

const closed = {
  closed: { trial: "files", adapter: "host", seed: 5 },
  ...{ was: "two", test: "a.test.ts: it is mended" },
}
const text2 = [entry, closed, entry].map((line) => JSON.stringify(line)).join("\n") + "\n"

test("totals() adds campaigns up; a finding is open until a line closes it", () => {
  assert.deepEqual(totals(parse(text2)), [
    {
      ...{ trial: "files", adapter: "host", seconds: 6, executions: 200, states: 10 },
      ...{ found: 4, open: 2, exhausted: false },
    },
  ])
})

test("parse() of a ledger refuses a line that is none, with its number", () => {
  assert.throws(() => parse(`${JSON.stringify(entry)}\n{"trial":"files"}\n`), /Cannot read line 2/)
})

test("the report says what the ledger comes to, and names tests that exist", () => {
  const lines = parse(text(path))
  assert.equal(renewed(text(page), lines), text(page), "deno task campaign --report renews it")
  for (const line of lines) {
    if (!("closed" in line)) continue
    const [, file = "", title = ""] = /^(\S+): (.+)$/.exec(line.test) ?? []
    assert.ok(files.includes(file) && text(file).includes(title), `there is no ${line.test}`)
  }
})
