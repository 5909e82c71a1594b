/** Programs against the laws, on each adapter. @module */
import { Effect, Scope } from "effect"
import { check, kvasir, kvasirOn, type Stage, tally } from "../../testing/mod.ts"
import type { Config } from "../../testing/mod.ts"
import { type Adapter, adapters } from "../adapters.ts"
import type { Trial } from "./trial.ts"

/** One device for all batches of a process: opening it and compiling its kernels takes longer than a batch. */
const stages = new Map<string, Promise<Stage<Config>>>()

const stageOf = ({ name, layer }: Adapter): Promise<Stage<Config>> => {
  if (name === "cpu") return Promise.resolve(kvasir)
  const known = stages.get(name) ??
    Effect.runPromise(Scope.provide(kvasirOn(name, layer), Scope.makeUnsafe()))
  stages.set(name, known)
  return known
}

/** Programs of a batch that are played side by side: a GPU's answers take long, whatever they are. */
const abreast = (name: string): number => name === "cpu" ? 1 : 8

/** Programs of each. */
const programs = (name: string): number => name === "cpu" ? 120 : 2

/** Most commands of a batch's programs: many faults need few, and short programs come at twice the rate. */
const lengths = [8, 12, 20, 40]

const trialOn = (adapter: Adapter): Trial => ({
  name: "law programs",
  adapter: adapter.name,
  share: adapter.name === "cpu" ? 6 : 2,
  batch: async (seed) => {
    const stage = await stageOf(adapter)
    const met = tally()
    const runs = programs(adapter.name)
    const maxCommands = lengths[seed % lengths.length]!
    const seeds = Array.from({ length: abreast(adapter.name) }, (_, i) => (seed * 8 + i) | 0)
    await Promise.all(seeds.map((seed) => check(stage, { runs, seed, maxCommands, tally: met })))
    return { executions: runs * seeds.length, states: met.outcomes.get("command") ?? 0 }
  },
})

/** All ten laws, on each adapter of this machine: one trial each. */
export const lawPrograms: ReadonlyArray<Trial> = adapters.map(trialOn)
