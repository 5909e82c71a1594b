/** A subject as what programs are played on. @module */
import fc from "fast-check"
import type { Name } from "./laws.ts"
import { playerOf } from "./listed.ts"
import type { Stage, Verb } from "./player.ts"
import type { Subject } from "./subject.ts"

const unchecked = <C>(of: Subject<C>): ReadonlyMap<Name, string> => {
  const lacks = (member: keyof Subject<C>, ...laws: ReadonlyArray<Name>) =>
    of[member] === undefined
      ? laws.map((law): readonly [Name, string] => [law, `the subject has no \`${member}\``])
      : []
  return new Map([
    ...lacks("slots", "writeOnce"),
    ...lacks("open", "noLeak"),
    ...lacks("account", "conservation", "atomicity", "noLeak"),
    ...lacks("attend", "merge"),
    ...lacks("poison", "inertness"),
  ])
}

const abilities = <C>(of: Subject<C>): ReadonlySet<Verb> => {
  const verbs: ReadonlyArray<readonly [Verb, boolean]> = [
    ["append", true],
    ["fork", true],
    ["run", true],
    ["write", of.write !== undefined],
    ["truncate", of.truncate !== undefined],
    ["drop", of.drop !== undefined],
    ["open", of.open !== undefined],
    ["keep", of.open !== undefined],
    ["close", of.open !== undefined],
    ["snapshot", of.save !== undefined && of.restore !== undefined],
    ["merge", of.attend !== undefined],
  ]
  return new Set(verbs.flatMap(([verb, can]) => can ? [verb] : []))
}

/**
 * A cache of one's own as what programs are played on. `make` is called for each program; `name` is what printed
 * programs call the stage, so give it the name of the constant it is assigned to.
 *
 * @example
 * ```ts
 * import { check, subject } from "@kvasir/kvasir/testing"
 *
 * type List = ReadonlyArray<number>
 * const lists = subject("lists", () => ({
 *   empty: [] as List,
 *   append: (list: List, rows: List) => [...list, ...rows],
 *   read: (all: ReadonlyArray<List>) => all,
 * }))
 * for (const { law, checks, because } of await check(lists, { runs: 20 })) {
 *   console.log(law.name, because ?? checks)
 * }
 * ```
 */
export const subject = <Cache, Config = Record<never, never>>(
  name: string,
  make: (config: Config) => Subject<Cache>,
  configs: fc.Arbitrary<Config> = fc.constant({} as Config),
): Stage<Config> => {
  // What it lacks is the same for every config.
  const [first] = fc.sample(configs, { numRuns: 1, seed: 0 })
  const one = make(first!)
  return {
    name,
    configs,
    can: abilities(one),
    unchecked: unchecked(one),
    open: (config, tally) => Promise.resolve(playerOf(make(config), tally)),
  }
}
