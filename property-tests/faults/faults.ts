/**
 * What may go wrong with a device, by number: calls are counted from where a test arms them, and one of them, or all
 * from one on, goes wrong.
 *
 * @module
 */
import type { Layer } from "effect"
import type { Gpu, GpuUnavailable } from "../../mod.ts"

/** Which call goes wrong, and how. */
export interface Plan {
  /** Number of the call, from 0. */
  readonly at: number
  /** Which of the call's ways to go wrong, counted round, or one by name. */
  readonly way: number | string
}

/** Counts a device's calls, and lets one of them go wrong. */
export interface Faults {
  /** Counts from 0 again; without a plan everything goes well. */
  readonly arm: (plan?: Plan, hook?: (call: number) => void) => void
  /** Names of the calls since then, in order. */
  readonly calls: ReadonlyArray<string>
  /** What went wrong: `submit: out-of-memory`. */
  readonly struck: string | undefined
  /** Buffers and devices that were made and not destroyed. */
  readonly left: () => number
  /** Errors that nobody was told of, and error scopes that nobody closed. */
  readonly unheard: () => ReadonlyArray<string>
}

/** A device of its own that can be made to fail. */
export interface Rig {
  readonly layer: Layer.Layer<Gpu, GpuUnavailable>
  readonly faults: Faults
}

/** Chooses what happens to a call: undefined is that it goes well. */
export type Strike<Way extends string> = (call: string, ways: ReadonlyArray<Way>) => Way | undefined

/** The counter under `Faults`. */
export interface Counter<Way extends string> extends Pick<Faults, "arm" | "calls" | "struck"> {
  readonly strike: Strike<Way>
}

/** Nothing counted yet. */
export const counter = <Way extends string>(): Counter<Way> => {
  let plan: Plan | undefined
  let hook: ((call: number) => void) | undefined
  let calls: Array<string> = []
  let struck: string | undefined
  return {
    get calls() {
      return calls
    },
    get struck() {
      return struck
    },
    arm: (next, run) => {
      plan = next
      hook = run
      calls = []
      struck = undefined
    },
    strike: (call, ways) => {
      const number = calls.push(call) - 1
      hook?.(number)
      if (plan?.at !== number) return undefined
      const way = typeof plan.way === "string" ? plan.way as Way : ways[plan.way % ways.length]!
      struck = `${call}: ${way}`
      return way
    },
  }
}
