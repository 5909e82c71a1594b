/** Cases with troubles: one at a time, many by a stride, or drawn. @module */
import type { Kind } from "./rigs.ts"
import { play, type Played, type Trouble } from "./play.ts"
import type { Case } from "./programs.ts"
import { mostWays } from "./ways.ts"

/** Ways of the CPU layer's calls, at most. */
const cpuWays = 3

/** Longest that something waits before it is interrupted where it would wait for ever, milliseconds. */
const patience = 5

/** What can be counted. */
export type Mode = "fault" | "call" | "step" | "never"

const untouched = new Map<string, Promise<Played>>()

/** The case without a trouble; played once for each kind of device. */
export const plain = (kind: Kind, one: Case): Promise<Played> => {
  const key = `${kind.name} ${one.name}`
  const known = untouched.get(key) ?? play(kind.open(), one)
  untouched.set(key, known)
  return known
}

/** Plays a case with a trouble; a failure says how to see it again. */
export const tried = async (kind: Kind, one: Case, trouble: Trouble): Promise<Played> => {
  const want = await plain(kind, one)
  try {
    return await play(kind.open(), one, trouble, want)
  } catch (cause) {
    const what = `"${one.name}" on ${kind.name} with ${JSON.stringify(trouble)}`
    throw new Error(`${what}: ${(cause as Error).message}`, { cause })
  }
}

/** Calls whose promises may never settle. */
const waits = new Set(["mapAsync", "popErrorScope", "onSubmittedWorkDone"])

/** Every trouble of a mode that this case can have, in order. */
export const troublesOf = (
  kind: Kind,
  { calls, steps }: Played,
  mode: Mode,
): ReadonlyArray<Trouble> => {
  switch (mode) {
    case "fault": {
      const ways = kind.born === undefined ? cpuWays : mostWays
      return calls.flatMap((_, at) =>
        Array.from({ length: ways }, (_, way): Trouble => ({ plan: { at, way } }))
      )
    }
    case "call":
      return calls.map((_, call) => ({ call }))
    case "step":
      return Array.from({ length: steps }, (_, step) => ({ step }))
    case "never":
      return calls.flatMap((call, at) =>
        waits.has(call) ? [{ plan: { at, way: "never" }, patience }] : []
      )
  }
}

/** What trying many gave. */
export interface Tally {
  /** Troubles there are, and how many were tried. */
  readonly all: number
  readonly tried: number
  readonly outcomes: ReadonlyMap<string, number>
}

/** Tries about `most` of a case's troubles of a mode, evenly, from an offset below 1 on; all where there are no more. */
export const sweep = async (
  kind: Kind,
  one: Case,
  mode: Mode,
  most: number,
  offset: number,
): Promise<Tally> => {
  const troubles = troublesOf(kind, await plain(kind, one), mode)
  const stride = Math.max(1, troubles.length / most)
  const outcomes = new Map<string, number>()
  let n = 0
  for (let at = stride === 1 ? 0 : offset * stride; at < troubles.length; at += stride, n++) {
    const { outcome } = await tried(kind, one, troubles[Math.floor(at)]!)
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  }
  return { all: troubles.length, tried: n, outcomes }
}
