/** Laws as properties of programs, and a report of what was checked. @module */
import fc from "fast-check"
import type { Command } from "./command.ts"
import { type Law, laws, type Tally, tally as newTally } from "./laws.ts"
import type { Stage } from "./player.ts"
import { ProgramFailed, programs, replay } from "./programs.ts"

/** How programs are drawn. */
export interface Options {
  /** Laws that are asked for. Default: all. */
  readonly laws?: ReadonlyArray<Law>
  /** Most commands of a program. Default 40. */
  readonly maxCommands?: number
  /** Where to count what programs met. */
  readonly tally?: Tally
}

/** A property of a configuration and a program. */
export type Property<Config> = fc.IAsyncPropertyWithHooks<[Config, Iterable<Command>]>

/**
 * Laws as a property of programs, for `fc.assert`. One run of a program checks all that are asked for, and the
 * failure says which one broke. About 10 ms a program on the CPU.
 *
 * @example
 * ```ts
 * import fc from "fast-check"
 * import { kvasir, Laws, property } from "@kvasir/kvasir/testing"
 * await fc.assert(property(kvasir, { laws: [Laws.persistence] }), { numRuns: 5 })
 * ```
 */
export const property = <Config>(stage: Stage<Config>, options: Options = {}): Property<Config> => {
  const { maxCommands = 40, tally = newTally(options.laws ?? laws) } = options
  return fc.asyncProperty(
    stage.configs,
    programs(maxCommands),
    (config, program) => replay(stage, config, program, tally),
  )
}

/** How much is tried. */
export interface CheckOptions extends Options {
  /** Programs. Default 100. */
  readonly runs?: number
  /** The same seed gives the same programs. Default: another each time. */
  readonly seed?: number
}

/** What came of a law. */
export interface Finding {
  /** The law. */
  readonly law: Law
  /** How often it was put to the test; it held each time. */
  readonly checks: number
  /** Why it was not checked, if it was not: that is no pass. */
  readonly because: string | undefined
}

/**
 * Plays programs and reports on each law: how often it was checked, or why it was not. Rejects with
 * `ProgramFailed` when a law breaks: the smallest failing program that was found, as text for a test.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { check, kvasir } from "@kvasir/kvasir/testing"
 * const findings = await check(kvasir, { runs: 20, seed: 1 })
 * assert.equal(findings.length, 10)
 * ```
 */
export const check = async <Config>(
  stage: Stage<Config>,
  options: CheckOptions = {},
): Promise<ReadonlyArray<Finding>> => {
  const asked = options.laws ?? laws
  const tally = options.tally ?? newTally(asked)
  const { runs = 100, seed } = options
  const told = { numRuns: runs, ...(seed === undefined ? {} : { seed }) }
  const { failed, errorInstance, ...drawn } = await fc.check(
    property(stage, { ...options, tally }),
    told,
  )
  if (failed) {
    const found = { seed: drawn.seed, programs: drawn.numRuns }
    if (!(errorInstance instanceof ProgramFailed)) throw errorInstance
    throw new ProgramFailed(errorInstance.program, errorInstance.cause, found)
  }
  return asked.map((law) => {
    const checks = tally.checks.get(law.name) ?? 0
    const never = checks === 0 ? `none of ${runs} programs came to it` : undefined
    return { law, checks, because: stage.unchecked.get(law.name) ?? never }
  })
}
