/** Every file that decides something has mistakes made in it, and each still finds its place. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { lists, type Mutant } from "../mutants/mutant.ts"
import { code, sources, text } from "./tree.ts"

const read = async (name: string): Promise<ReadonlyArray<Mutant>> => {
  const list: { readonly default: ReadonlyArray<Mutant> } = await import(`../mutants/${name}.ts`)
  return list.default
}

const all = (await Promise.all(lists.map(read))).flat()

const folders = /^(kernels|lib\/(attention|cache|views|snapshot))\//
const some: ReadonlySet<string> = new Set(
  ["Program", "capture", "memory", "transfer"].map((name) => `lib/device/${name}.ts`),
)

/** Does it more than name types and what others export? */
const acts = (file: string): boolean =>
  /\b(const|function)\b/.test(code(file).replace(/^(im|ex)port\b[^"=]*"[^"]+"/gm, ""))

test("mutants change a text that stands exactly once in its file", () => {
  const wrong = all.filter(({ file, from, to }) =>
    !sources.includes(file) || from === to || text(file).split(from).length !== 2
  )
  assert.deepEqual(wrong.map(({ file, why }) => `${file}: ${why}`), [])
})

test("mutants are told apart by their file, their place and their mistake", () => {
  const named = all.map(({ file, from, to }) => `${file}: ${from} -> ${to}`)
  assert.deepEqual(named.filter((name, i) => named.indexOf(name) !== i), [])
})

test("each file of the cache, its attention, kernels, views and snapshots has three mutants", () => {
  const counts = new Map<string, number>()
  for (const { file } of all) counts.set(file, (counts.get(file) ?? 0) + 1)
  const needing = sources.filter((file) => (folders.test(file) && acts(file)) || some.has(file))
  assert.ok(needing.length > 0)
  const lacking = needing.filter((file) => (counts.get(file) ?? 0) < 3)
  assert.deepEqual(lacking.map((file) => `${file}: ${counts.get(file) ?? 0}`), [])
})

test("each rule of the cache is turned off by some mutant", () => {
  const off = new Set(all.flatMap(({ why }) => /^rule (\d+):/.exec(why)?.[1] ?? []))
  const rules = Array.from({ length: 21 }, (_, i) => `${i + 1}`).filter((rule) => rule !== "20")
  assert.deepEqual(rules.filter((rule) => !off.has(rule)), [])
})
