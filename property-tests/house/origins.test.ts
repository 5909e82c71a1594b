/**
 * `lib/cache/ORIGINS.md`: every name of the five designs has a row, and what a row names is there.
 *
 * @module
 */
import assert from "node:assert/strict"
import { existsSync } from "node:fs"
import { dirname, join } from "node:path/posix"
import { test } from "node:test"
import { sources, text } from "./tree.ts"

const file = "lib/cache/ORIGINS.md"

interface Row {
  readonly original: string
  readonly ours: string
  readonly kind: string
  readonly difference: string
  readonly test: string
}

const cells = (line: string): ReadonlyArray<string> =>
  line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim())

const rows: ReadonlyArray<Row> = existsSync(file)
  ? text(file).split("\n").filter((line) => line.startsWith("|"))
    .map(cells)
    .filter(([first = ""]) => first !== "original" && !/^:?-+:?$/.test(first))
    .map(([original = "", ours = "", kind = "", difference = "", test = ""]) => ({
      original,
      ours,
      kind,
      difference,
      test,
    }))
  : []

const door = text("mod.ts")
/** `mod.ts` exports all of them. */
const errors = text("lib/errors.ts")

/** The file behind a namespace of `mod.ts`. */
const fileOf = (namespace: string): string | undefined => {
  const direct = new RegExp(`export \\* as ${namespace} from "\\./([^"]+)"`).exec(door)?.[1]
  if (direct !== undefined) return direct
  const local = new RegExp(`export \\{ (\\w+) as ${namespace} \\}`).exec(door)?.[1]
  return new RegExp(`import \\* as ${local} from "\\./([^"]+)"`).exec(door)?.[1]
}

/** A file and those it exports from. */
const reachable = (from: string): ReadonlyArray<string> => {
  const nested = [...text(from).matchAll(/from "(\.[^"]+)"/g)]
    .map(([, to = ""]) => join(dirname(from), to))
    .filter((to) => sources.includes(to))
  return [from, ...nested]
}

/** Is `A.b` a name that a user reaches: an export of the namespace, or a field of one of its types? */
const exists = (name: string): boolean => {
  const [namespace = "", member] = name.split(".")
  const found = fileOf(namespace)
  if (found === undefined) return errors.includes(`export class ${namespace} `)
  if (member === undefined) return true
  const declared = new RegExp(
    `export (const|function\\*?|interface|type|class) ${member}\\b|export (type )?\\{[^}]*\\b${member}\\b|readonly ${member}\\b|^  ${member}\\(`,
    "m",
  )
  return reachable(found).some((one) => declared.test(text(one)))
}

const golden = [
  "continuous_batching_program",
  "kv_cache_update",
  "page_attention",
  "paged_cache_program",
  "slot_mapping_to_slices",
  "transformer_cache_program",
].flatMap((op) => [`${op}.01.json`, `${op}-errors.01.json`, `${op}.02.json`])
  .map((name) => `property-tests/golden/caches/${name}`)
  .filter((name) => existsSync(name))
  .map((name) => text(name))

const isTested = (named: string): boolean => {
  const [where = "", ...rest] = named.replaceAll("`", "").split(": ")
  const title = rest.join(": ")
  if (where === "golden") return golden.some((cases) => cases.includes(`"${title}"`))
  return existsSync(where) && title !== "" && text(where).includes(title)
}

test("ORIGINS.md has a row for each of the five designs", () => {
  for (
    const name of [
      "PagedKVCache",
      "kv_cache_update",
      "TransformerCache",
      "page_attention",
      "ContinuousBatchingKVCache",
    ]
  ) assert.ok(rows.some(({ original }) => original.includes(name)), name)
  assert.ok(rows.length > 150, `${rows.length} rows`)
})

test("every row of ORIGINS.md names an export and a test that exist", () => {
  const wrong = rows.flatMap(({ original, ours, kind, difference, test }) => {
    const [first = "", ...rest] = [...ours.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name)
    const fields = rest.filter((name) => name.startsWith("."))
    const names = [first, ...fields.map((field) => `${first}${field}`)]
    return [
      ...names.filter((name) => !exists(name)).map((name) => `${original}: no export ${name}`),
      ...["acts", "hint", "replaced by"].includes(kind.replaceAll("*", ""))
        ? []
        : [`${original}: kind ${kind}`],
      ...difference === "" ? [`${original}: no difference`] : [],
      ...isTested(test) ? [] : [`${original}: no test ${test}`],
    ]
  })
  assert.deepEqual(wrong, [])
})
