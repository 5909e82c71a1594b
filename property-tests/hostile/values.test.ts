/** Keys, values and queries that are no numbers, seen and unseen, on each device. @module */
import { test } from "node:test"
import fc from "fast-check"
import { runs } from "../arbitraries/runs.ts"
import { absent, adapters } from "../adapters.ts"
import { type Case, values } from "./values.ts"
import { attempt } from "./values_right.ts"

const batch: Case = {
  dtype: "f32",
  placement: "perLayer",
  dim: 8,
  blockSize: 4,
  rows: [{ length: 20, queries: 1, start: 0 }],
  last: undefined,
  softCap: undefined,
  spots: [],
  asked: [],
}
const nan = { row: 0, position: 15, half: "keys", head: 0, element: 1, value: NaN } as const
const long = [{ length: 300, queries: 1, start: 0 }]

/** What was wrong once, by the name that it is known by. */
const named: { readonly [name: string]: Case } = {
  "a soft cap makes no number of NaN": { ...batch, softCap: 5, spots: [nan] },
  "a soft cap makes no number of NaN, in the general kernel": {
    ...batch,
    dim: 3,
    softCap: 5,
    spots: [nan],
  },
  "a NaN that a query sees is no context of nothing": { ...batch, spots: [nan] },
  "a part with a NaN is not left out where parts are merged": {
    ...batch,
    rows: long,
    spots: [nan],
  },
  "a query that is NaN sees no context of nothing": { ...batch, asked: [[0, 0, NaN]] },
  "int8 rows under a scale of NaN leave the tokens alone that do not see them": {
    ...batch,
    dtype: "int8",
    rows: [{ length: 20, queries: 12, start: 0 }],
    spots: [{ ...nan, half: "values" }],
  },
}

for (const { name, layer } of adapters) {
  for (const [what, one] of Object.entries(named)) {
    test(
      `hostile values: ${what} [${name}]`,
      { timeout: 120_000 },
      () => attempt(layer, [one]).then(() => {}),
    )
  }
  test(`hostile values: unseen they change nothing, seen they are the oracle's [${name}]`, {
    timeout: 120_000,
  }, () => {
    const { numRuns } = runs(name === "cpu" ? 120 : 16)
    const one = fc.asyncProperty(values, (given) => attempt(layer, [given]).then(() => {}))
    return fc.assert(one, runs(numRuns))
  })
}
for (const { name, reason } of absent) {
  test(`hostile values: [${name}]`, { skip: reason }, () => {})
}
