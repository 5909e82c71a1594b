/** Hostile calls, tables and values, as a campaign repeats them. @module */
import fc from "fast-check"
import { adapters } from "../adapters.ts"
import { enter } from "../hostile/judge.ts"
import { rooms } from "../hostile/rooms.ts"
import { tables } from "../hostile/tables.ts"
import { attempt as attemptTable } from "../hostile/tables_right.ts"
import { values } from "../hostile/values.ts"
import { attempt as attemptValues } from "../hostile/values_right.ts"
import { chance, type Choice } from "../hostile/walk.ts"
import type { Trial } from "./trial.ts"

/** One to three leaves of a call: numbers of the list, or others near what was there. */
const choices: fc.Arbitrary<Choice> = fc.record({
  door: fc.nat(),
  spoils: fc.array(
    fc.tuple(
      fc.nat(),
      fc.nat(),
      fc.option(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double()), { nil: undefined }),
    ),
    { minLength: 1, maxLength: 3 },
  ),
})

/** Calls of one batch: a second of them. */
const calls = { model: 60, other: 400 }

/** Numeric options of every export, several at once. One room a batch. */
export const hostileCalls: Trial = {
  name: "hostile calls",
  adapter: "cpu",
  share: 1,
  batch: (seed) => {
    const names = Object.keys(rooms)
    const name = names[(seed >>> 0) % names.length]!
    const numRuns = name === "model" ? calls.model : calls.other
    return enter(rooms[name]!, async (visit) => {
      let states = 0
      for (const choice of fc.sample(choices, { seed, numRuns })) {
        const wrong = await chance(visit, choice)
        if (wrong !== undefined) {
          throw new Error(`room ${name}, seed ${seed}, ${JSON.stringify(choice)}: ${wrong}`)
        }
        states += choice.spoils.length
      }
      await visit.unharmed()
      return { executions: numRuns, states }
    })
  },
}

/** Block tables and slot mappings of every view. */
export const hostileTables: Trial = {
  name: "hostile tables",
  adapter: "cpu",
  share: 1,
  batch: async (seed) => {
    let states = 0
    const cases = fc.sample(tables, { seed, numRuns: 60 })
    for (const one of cases) states += await attemptTable(one)
    return { executions: cases.length, states }
  },
}

/** Values that are no numbers, on each adapter. */
export const hostileValues: ReadonlyArray<Trial> = adapters.map(({ name, layer }): Trial => ({
  name: "hostile values",
  adapter: name,
  share: 1,
  batch: async (seed) => {
    const cases = fc.sample(values, { seed, numRuns: name === "cpu" ? 60 : 8 })
    const states = await attemptValues(layer, cases)
    return { executions: cases.length, states }
  },
}))
