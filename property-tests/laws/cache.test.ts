/** Laws 1, 2, 3, 4, 5, 8 and 10: whatever a program does, and however its effects fail and interleave. @module */
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import { config } from "../arbitraries/layouts.ts"
import { programs, runProgram } from "../arbitraries/programs.ts"
import { runs } from "../arbitraries/runs.ts"

const chosen = runs(500)

/** What a few hundred programs must have met, or they prove nothing. */
const met = [
  ...["realize landed", "gather landed", "read landed", "append landed", "step landed", "kept"],
  ...["realize OutOfBlocks", "realize StaleCache", "step StaleCache", "step CapacityExceeded"],
  ...["step BodyFailed", "run GpuFault", "run LeaseClosed", "keep StaleCache", "Interrupted"],
]

test("KvCache obeys its laws in every program, under every fault and interleaving", {
  timeout: 600_000,
}, () => {
  const outcomes = new Map<string, number>()
  fc.assert(
    fc.property(config, programs(40), (config, program) => runProgram(config, program, outcomes)),
    chosen,
  )
  if (chosen.numRuns >= 300) assert.deepEqual(met.filter((name) => !outcomes.has(name)), [])
})
