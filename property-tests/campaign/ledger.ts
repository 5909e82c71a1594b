/**
 * The ledger of all campaigns: a line of JSON for what each trial did in one of them, and a line for each finding
 * that was mended since. Hours add up; nothing is ever taken out.
 *
 * @module
 */
import { Schema } from "effect"

/** Where the ledger is, from the root of the project. */
export const path = "property-tests/ledger.jsonl"

/** What a trial found in one batch. */
export interface Finding {
  readonly seed: number
  readonly text: string
}

/** What one trial did in one campaign. */
export interface Entry {
  readonly at: string
  readonly commit: string
  readonly runtime: string
  readonly trial: string
  readonly adapter: string
  readonly device: string
  readonly seed: number
  readonly seconds: number
  readonly batches: number
  readonly executions: number
  readonly states: number
  readonly findings: ReadonlyArray<Finding>
  /** Batches that try everything there is, where that can be said. */
  readonly parts?: number
}

/** A finding that was mended: what it was, and the test that holds it down. */
export interface Closed {
  readonly closed: { readonly trial: string; readonly adapter: string; readonly seed: number }
  readonly was: string
  readonly test: string
}

/** Some minutes of a program on one model, with its memory watched. */
export interface Soak {
  readonly soak: string
  readonly at: string
  readonly commit: string
  readonly runtime: string
  readonly device: string
  readonly seed: number
  readonly minutes: number
  readonly operations: number
  /** Megabytes an hour, with its standard error. */
  readonly slope: number
  readonly error: number
  readonly flat: boolean
  readonly liveBuffers: number
}

/** A line of the ledger. */
export type Line = Entry | Closed | Soak

const { String: text, Number: number, Boolean: boolean } = Schema
const origin = { at: text, commit: text, runtime: text, device: text, seed: number }
const trialed = { trial: text, adapter: text }
const found = Schema.Struct({ seed: number, text })

const decode: (line: unknown) => Line = Schema.decodeUnknownSync(Schema.Union([
  Schema.Struct({
    ...origin,
    ...trialed,
    ...{ seconds: number, batches: number, executions: number, states: number },
    findings: Schema.Array(found),
    parts: Schema.optionalKey(number),
  }),
  Schema.Struct({ closed: Schema.Struct({ ...trialed, seed: number }), was: text, test: text }),
  Schema.Struct({
    ...{ soak: text, ...origin, minutes: number, operations: number, slope: number },
    ...{ error: number, flat: boolean, liveBuffers: number },
  }),
]))

/** Lines of a ledger's text; one that is no entry throws, with its number. */
export const parse = (lines: string): ReadonlyArray<Line> =>
  lines.split("\n").flatMap((line, i) => {
    if (line === "") return []
    try {
      return [decode(JSON.parse(line))]
    } catch (cause) {
      throw new Error(`Cannot read line ${i + 1} of the ledger: ${String(cause)}`)
    }
  })

/** What all campaigns came to for one trial on one adapter. */
export interface Total {
  readonly trial: string
  readonly adapter: string
  readonly seconds: number
  readonly executions: number
  readonly states: number
  /** Findings, mended ones too. */
  readonly found: number
  /** Findings that no line closes. */
  readonly open: number
  /** Did one campaign try everything there is, and find nothing? */
  readonly exhausted: boolean
}

const key = ({ trial, adapter }: Pick<Entry, "trial" | "adapter">): string =>
  `${trial} [${adapter}]`

/** Totals, in the order in which trials were first met. */
export const totals = (lines: ReadonlyArray<Line>): ReadonlyArray<Total> => {
  const closed = new Set(
    lines.flatMap((line) => "closed" in line ? [`${key(line.closed)} ${line.closed.seed}`] : []),
  )
  const sums = new Map<string, Total>()
  for (const line of lines) {
    if (!("trial" in line)) continue
    const { trial, adapter, findings } = line
    const sum = sums.get(key(line)) ??
      { trial, adapter, seconds: 0, executions: 0, states: 0, found: 0, open: 0, exhausted: false }
    const open = findings.filter(({ seed }) => !closed.has(`${key(line)} ${seed}`)).length
    sums.set(key(line), {
      trial,
      adapter,
      seconds: sum.seconds + line.seconds,
      executions: sum.executions + line.executions,
      states: sum.states + line.states,
      found: sum.found + findings.length,
      open: sum.open + open,
      exhausted: sum.exhausted ||
        (findings.length === 0 && line.batches >= (line.parts ?? Infinity)),
    })
  }
  return [...sums.values()]
}
