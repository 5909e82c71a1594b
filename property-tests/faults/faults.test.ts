/**
 * Every effect while one call of the device fails, is never answered, or its fiber is interrupted: by a stride with a
 * random offset; `campaign/faults.ts` draws from all of them.
 */
import assert from "node:assert/strict"
import process from "node:process"
import { test } from "node:test"
import { absent } from "../adapters.ts"
import { cases } from "./programs.ts"
import { heavy, snapshots } from "./programs.model.ts"
import { kinds } from "./rigs.ts"
import { type Mode, sweep } from "./tries.ts"

const timeout = 120_000

/** Plays of a case and mode: some milliseconds each on the CPU, a hundred on a software adapter. */
const most = (isGpu: boolean, isHeavy: boolean): number =>
  process.env["SLOW"] === undefined ? isHeavy ? isGpu ? 1 : 2 : isGpu ? 4 : 25 : Infinity

for (const kind of kinds) {
  const isGpu = kind.born !== undefined
  const modes: ReadonlyArray<Mode> = isGpu ? ["fault", "never", "call", "step"] : ["fault", "step"]
  for (const mode of modes) {
    test(`${mode}: typed errors, laws 1, 3, 4 and 10, and the same again [${kind.name}]`, {
      timeout,
    }, async () => {
      const told: Array<string> = []
      for (const one of [...cases, ...snapshots, ...heavy]) {
        const isHeavy = heavy.includes(one)
        if (isHeavy && isGpu && (mode !== "fault" || one !== heavy[0])) continue // in the campaign
        const offset = Math.random()
        const { all, tried, outcomes } = await sweep(kind, one, mode, most(isGpu, isHeavy), offset)
        told.push(`${one.name} ${tried} of ${all}`)
        assert.ok(
          tried > 0 && (outcomes.get("done") ?? 0) < tried,
          `nothing goes wrong in ${one.name}`,
        )
      }
      console.log(`${kind.name}, ${mode}: ${told.join(", ")}`)
    })
  }
}
for (const { name } of absent) {
  test(`faults [${name}]`, { skip: "no adapter of this kind here" }, () => {})
}
