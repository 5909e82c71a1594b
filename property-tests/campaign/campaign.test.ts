/** Two minutes' worth of a campaign, on every device there is; `deno task campaign` tries what is new. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { runs } from "../arbitraries/runs.ts"
import { repeat } from "./repeat.ts"
import { named, trials } from "./trials.ts"

// What tries everything there is takes many minutes, and its parts are among what the others draw.
const drawn = trials.filter(({ parts }) => parts === undefined)
const total = drawn.reduce((sum, { share }) => sum + share, 0)
// The same each time: what is new is for campaigns, whose findings hold nobody up.
const { seed = 7 } = runs(1)

for (const trial of drawn) {
  test(`${named(trial)} finds nothing in its part of two minutes`, {
    timeout: 600_000,
  }, async () => {
    let executions = 0
    await repeat([trial], seed, 120 * trial.share / total, (event) => {
      if (event.kind === "found") assert.fail(`FC_SEED=${seed}, batch ${event.seed}: ${event.text}`)
      if (event.kind === "ended") executions += event.executions
    })
    assert.ok(executions > 0, "nothing was tried")
  })
}
