/** Some of what campaigns try of snapshots. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { snapshots } from "./trial.ts"

test("Snapshot.save() and restore() of any cache, stopped anywhere, leave the old or the new one", async () => {
  for (let seed = 0; seed < 4; seed++) {
    const { executions, states } = await snapshots.batch(seed)
    assert.ok(executions > 0 && states > executions)
  }
})
