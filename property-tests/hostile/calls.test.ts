/** Every number that an exported function takes, replaced by every number that it should not be. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import * as mod from "../../mod.ts"
import { exceptions } from "./exceptions.ts"
import { enter } from "./judge.ts"
import { rooms } from "./rooms.ts"
import { both, nothing, walk } from "./walk.ts"

for (const [name, room] of Object.entries(rooms)) {
  test(
    `hostile calls are refused or answered: ${name}`,
    { timeout: 120_000 },
    () =>
      enter(room, async (visit) => {
        let found = nothing
        for (const door of visit.room.doors) {
          found = both(found, await walk(visit, door, name === "model" ? 5 : 1))
        }
        assert.deepEqual(found.wrong, [])
        assert.ok(found.leaves > 0)
      }),
  )
}

test("hostile calls are made to every function that is exported, or it is said why not", async () => {
  const named = new Set<string>()
  for (const room of Object.values(rooms)) {
    await enter(room, ({ room: { doors } }) => {
      for (const { name } of doors) named.add(name.split(/[ ,']/)[0]!)
      return Promise.resolve()
    })
  }
  const exported = Object.entries(mod).flatMap(([space, value]) =>
    typeof value === "function"
      ? [] // the class of an error
      : Object.entries(value).flatMap(([name, part]) =>
        typeof part === "function" && name !== "Service" && name !== "Once"
          ? [`${space}.${name}`]
          : []
      )
  )
  const excepted = Object.values(exceptions).flat()
  const known = new Set([...named, ...excepted])
  assert.deepEqual(exported.filter((name) => !known.has(name)), [], "neither a door nor excepted")
  assert.deepEqual([...known].filter((name) => !exported.includes(name)), [], "not exported")
  assert.deepEqual(excepted.filter((name) => named.has(name)), [], "a door, and excepted")
})
