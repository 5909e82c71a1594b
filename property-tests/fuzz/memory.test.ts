/** What a file may make a reader keep in memory: files of nothing but what takes most of it. @module */
import { Result } from "effect"
import assert from "node:assert/strict"
import process from "node:process"
import { test } from "node:test"
import v8 from "node:v8"
import vm from "node:vm"
import * as Gguf from "../../lib/model/Gguf.ts"
import { parse } from "../../lib/model/json/parse.ts"
import { entry, header, types, u32, u64 } from "../model/writer.ts"

/** Collects garbage, in either runtime. */
const collect: () => void = (() => {
  const { Bun } = globalThis as { Bun?: { readonly gc: (force: boolean) => void } }
  if (Bun !== undefined) return () => Bun.gc(true)
  v8.setFlagsFromString("--expose-gc")
  return vm.runInNewContext("gc")
})()

const used = (): number => {
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const count = 2 ** 20
const elements = (type: number, part: ReadonlyArray<number>): Uint8Array => {
  const head = [...header(0, 1), ...entry("k", types.array, u32(type), u64(count))]
  const out = new Uint8Array(head.length + part.length * count)
  out.set(head)
  for (let i = 0, at = head.length; i < count; i++, at += part.length) out.set(part, at)
  return out
}
const entries = (): Uint8Array => {
  const all = Array.from({ length: 65_536 }, (_, i) => entry(i.toString(36), types.u8, [1]))
  return Uint8Array.from([header(0, all.length), ...all].flat())
}
const list = (part: string, times: number): Uint8Array =>
  new TextEncoder().encode(`{"a":[${`${part},`.repeat(times)}0]}`)

const gguf = (bytes: Uint8Array) => Gguf.parse("x.gguf", bytes)
const json = (bytes: Uint8Array) => parse("x.json", bytes)

const bombs: ReadonlyArray<
  readonly [
    what: string,
    make: () => Uint8Array,
    read: (bytes: Uint8Array) => Result.Result<unknown, unknown>,
    /** MiB besides four times the file, which limits of the reader bound. */
    rest: number,
  ]
> = [
  ["bools", () => elements(types.bool, [1]), gguf, 4],
  ["bytes", () => elements(types.u8, [1]), gguf, 4],
  ["empty texts", () => elements(types.string, u64(0)), gguf, 4],
  ["texts of two letters", () => elements(types.string, [...u64(2), 0x61, 0x62]), gguf, 4],
  ["metadata entries", entries, gguf, 16],
  ["empty arrays of JSON", () => list("[]", 10 ** 6), json, 48],
  ["empty objects of JSON", () => list("{}", 10 ** 6), json, 48],
  ["objects of JSON", () => list('{"":0}', 2 ** 17 - 1), json, 48],
  ["arrays of JSON", () => list("[0]", 400_000), json, 48],
  ["numbers of JSON", () => list("0", 2 * 10 ** 6), json, 48],
  ["texts of JSON", () => list('"ab"', 10 ** 6), json, 48],
  ["pairs of JSON", () => list('["a","b"]', 400_000), json, 48],
]

for (const [what, make, read, rest] of bombs) {
  test(`a file of nothing but ${what} takes four times its size, and a bounded rest`, () => {
    const bytes = make()
    const before = used()
    const result = read(bytes)
    const kept = used() - before
    assert.ok(Result.isSuccess(result))
    const most = 4 * bytes.length + rest * 2 ** 20
    assert.ok(kept <= most, `${kept} bytes are kept of ${bytes.length}: at most ${most}`)
  })
}
