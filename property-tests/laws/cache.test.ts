/** Laws 1, 2, 3, 4, 5, 8 and 10: whatever a program does, and however its effects fail and interleave. @module */
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import process from "node:process"
import { config } from "../arbitraries/layouts.ts"
import { programs, runProgram } from "../arbitraries/programs.ts"

const { RUNS, FC_SEED } = process.env
const numRuns = Number(RUNS ?? 600)
const seed = FC_SEED === undefined ? {} : { seed: Number(FC_SEED) }

test("KvCache obeys its laws in every program, under every fault and interleaving", {
  timeout: 120_000,
}, () => {
  const outcomes = new Map<string, number>()
  fc.assert(
    fc.property(config, programs(40), (config, program) => runProgram(config, program, outcomes)),
    { numRuns, ...seed },
  )
  console.log(outcomes)
})
