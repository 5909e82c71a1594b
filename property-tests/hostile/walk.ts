/** All that is tried at a door: one leaf of its arguments at a time, or several by chance. @module */
import type { Door } from "./door.ts"
import type { Visit } from "./judge.ts"
import { at, foreign, leaves, numbers, put, spoilt } from "./spoil.ts"

/** What was tried, and what was wrong with it. */
export interface Findings {
  readonly calls: number
  /** Leaves that were spoilt. */
  readonly leaves: number
  /** Doors and leaves where a wrong type is a TypeError. */
  readonly untyped: ReadonlyArray<string>
  readonly wrong: ReadonlyArray<string>
}

/** Nothing yet. */
export const nothing: Findings = { calls: 0, leaves: 0, untyped: [], wrong: [] }

/** Both. */
export const both = (a: Findings, b: Findings): Findings => ({
  calls: a.calls + b.calls,
  leaves: a.leaves + b.leaves,
  untyped: [...a.untyped, ...b.untyped],
  wrong: [...a.wrong, ...b.wrong],
})

/**
 * Every leaf of the arguments, replaced by all that it should not be; or by one in so many of these, other ones at
 * other leaves.
 */
export const walk = async (visit: Visit, door: Door, oneIn: number = 1): Promise<Findings> => {
  const wrong: Array<string> = []
  const untyped = new Set<string>()
  const paths = leaves(door.valid())
  let calls = 1
  const works = await visit.call(door, door.valid())
  if (works.outcome !== "answered") {
    wrong.push(`${door.name} as it should be: ${works.wrong ?? works.answer}`)
  }
  if (works.wrong !== undefined) wrong.push(works.wrong)
  for (const [leaf, path] of paths.entries()) {
    const chosen = <A>(all: ReadonlyArray<A>) => all.filter((_, i) => (i + leaf) % oneIn === 0)
    const whole = at(door.valid(), path)
    const zeros: Array<string> = []
    for (const bad of chosen(spoilt(whole))) {
      const tried = await visit.call(door, put(door.valid(), path, bad) as ReadonlyArray<unknown>)
      calls++
      if (tried.wrong !== undefined) wrong.push(tried.wrong)
      if (bad === 0) zeros.push(tried.outcome === "answered" ? tried.answer : tried.outcome)
    }
    // −0 is 0, and refused or answered as it is.
    if (new Set(zeros).size > 1) {
      wrong.push(`${door.name} at ${path.join(".")} tells −0 from 0`)
    }
    for (const bad of chosen(foreign)) {
      const given = put(door.valid(), path, bad) as ReadonlyArray<unknown>
      const tried = await visit.call(door, given, true)
      calls++
      if (tried.wrong !== undefined) wrong.push(tried.wrong)
      if (tried.outcome === "TypeError") untyped.add(`${door.name} at ${path.join(".")}`)
    }
  }
  await visit.unharmed()
  return { calls, leaves: paths.length, untyped: [...untyped], wrong }
}

/** A choice among what may be spoilt, by numbers of any size. */
export interface Choice {
  readonly door: number
  readonly spoils: ReadonlyArray<readonly [leaf: number, value: number, near: number | undefined]>
}

/** One call with several leaves spoilt at once: by a number of the list, or by one near what was there. */
export const chance = async (visit: Visit, choice: Choice): Promise<string | undefined> => {
  const { doors } = visit.room
  const door = doors[choice.door % doors.length]!
  const paths = leaves(door.valid())
  let given: unknown = door.valid()
  for (const [leaf, value, near] of choice.spoils) {
    if (paths.length === 0) break
    const path = paths[leaf % paths.length]!
    const old = at(door.valid(), path)
    const all = typeof old === "number" ? numbers : spoilt(old)
    const bad = near !== undefined && typeof old === "number" ? old + near : all[value % all.length]
    try {
      given = put(given, path, bad)
    } catch {
      // An earlier spoil took this leaf away with its list.
    }
  }
  return (await visit.call(door, given as ReadonlyArray<unknown>)).wrong
}
