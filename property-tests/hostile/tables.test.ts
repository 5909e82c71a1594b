/** Block tables and slot mappings whose cells are none: refused, or answered with what is there. @module */
import { test } from "node:test"
import fc from "fast-check"
import type { Pages } from "../../mod.ts"
import { runs } from "../arbitraries/runs.ts"
import { type Case, readers, tables } from "./tables.ts"
import { attempt } from "./tables_right.ts"

const bad = [-1, 6, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 0.5, NaN, 2 ** 53]

for (const door of readers) {
  test(`hostile tables: ${door} answers what is there and refuses what is not`, async () => {
    const cases: Array<Case> = [
      ...bad.flatMap((cell) => [
        { door, blocks: [cell], length: 2 },
        { door, blocks: [0, cell], length: 4 },
        { door, blocks: [0, cell], length: 3 },
        { door, blocks: [0], length: cell },
      ]),
      { door, blocks: [0, 0], length: 6 },
      { door, blocks: [0, 2], length: 6 },
      { door, blocks: [], length: 1 },
      { door, blocks: [1, 0, 5], length: 9 },
      // deno-lint-ignore no-sparse-arrays -- a hole is what is tried
      { door, blocks: [0, , 1] as Array<number>, length: 9 },
    ]
    for (const one of cases) await attempt(one)
  })
}

const begun: Pages.Run = { page: 3, offset: 0, from: 0, count: 1 }

/** What is wrong with one number, or with two that do not go together. */
const writers: { readonly [name: string]: ReadonlyArray<Case> } = {
  "Pages.write": [
    ...bad.flatMap((n) =>
      ["page", "offset", "from", "count"].map((name): Case => ({
        door: "Pages.write",
        runs: [{ ...begun, [name]: n }],
      }))
    ),
    { door: "Pages.write", runs: [begun, begun] },
    { door: "Pages.write", runs: [{ ...begun, count: 2 }, { ...begun, offset: 1, from: 4 }] },
    { door: "Pages.write", runs: [{ ...begun, offset: 2 }] },
    { door: "Pages.write", runs: [{ ...begun, from: 7 }] },
    { door: "Pages.write", runs: [{ ...begun, offset: 1, count: 2 }, begun] },
  ],
  kvCacheUpdate: bad.flatMap((n): ReadonlyArray<Case> => [
    { door: "kvCacheUpdate", tables: [[3, n]], cached: [1], queries: [3] },
    { door: "kvCacheUpdate", tables: [[3]], cached: [n], queries: [1] },
    { door: "kvCacheUpdate", tables: [[3]], cached: [1], queries: [n] },
    { door: "kvCacheUpdate", tables: [[3], [3]], cached: [1, 1], queries: [1, 1] },
  ]),
  allocateBlocks: [
    ...bad.flatMap((n): ReadonlyArray<Case> => [
      { door: "allocateBlocks", blocks: [4, n], tokens: 5 },
      { door: "allocateBlocks", blocks: [4], tokens: n },
    ]),
    { door: "allocateBlocks", blocks: [4, 4], tokens: 5 },
    { door: "allocateBlocks", blocks: [4, 1], tokens: 5 },
    { door: "allocateBlocks", blocks: [4, 3, 3], tokens: 5 },
  ],
}

for (const [door, cases] of Object.entries(writers)) {
  test(`hostile tables: ${door} writes what can be written and refuses what cannot`, async () => {
    for (const one of cases) await attempt(one)
  })
}

test(
  "hostile tables of any kind are answered or refused",
  { timeout: 60_000 },
  () => fc.assert(fc.asyncProperty(tables, (one) => attempt(one).then(() => {})), runs(300)),
)
