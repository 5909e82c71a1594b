/** The JSON reader agrees with the engine's own, and refuses more. @module */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { file } from "../../lib/model/json/get.ts"
import { type Json, parse } from "../../lib/model/json/parse.ts"
import { reason } from "./vocabulary.ts"

const parsed = (text: string) => parse("x.json", new TextEncoder().encode(text))

/** The reader's value as the engine would give it. */
const plain = (value: Json): unknown => {
  if (Array.isArray(value)) return value.map(plain)
  if (!(value instanceof Map)) return value
  return Object.fromEntries(Array.from(value, ([key, inner]) => [key, plain(inner)]))
}

const whole = fc.dictionary(fc.string(), fc.jsonValue({ stringUnit: "grapheme" }), { maxKeys: 5 })
const text = fc.tuple(whole, fc.constantFrom(undefined, 1, "\t")).map(([value, space]) =>
  JSON.stringify(value, null, space)
)

test("parse() reads every JSON object as JSON.parse() does", () => {
  fc.assert(
    fc.property(text, (text) => {
      assert.deepEqual(plain(Result.getOrThrow(parsed(text)).keys), JSON.parse(text))
    }),
    { numRuns: 1000 },
  )
})

test("parse() takes no text that JSON.parse() refuses, and refuses none but for a reason", () => {
  const piece = fc.constantFrom(
    ...'{}[]:,"\\ \n0-.e+1tfna\u0001é',
    "null",
    "true",
    "\\u00e9",
    "1e5",
  )
  const broken = fc.tuple(text, fc.nat(), fc.nat(2), piece).map(([text, at, cut, put]) => {
    const from = at % (text.length + 1)
    return text.slice(0, from) + put + text.slice(from + cut)
  }).filter((text) => text.isWellFormed())
  fc.assert(
    fc.property(broken, (text) => {
      const ours = parsed(text)
      const theirs = Result.try((): unknown => JSON.parse(text))
      if (Result.isSuccess(ours)) {
        assert.deepEqual(plain(ours.success.keys), Result.getOrThrow(theirs))
      } else if (Result.isSuccess(theirs)) {
        assert.match(reason(ours), /is not an object|is there twice|half a surrogate pair/)
      }
    }),
    { numRuns: 3000 },
  )
})

const refusals: ReadonlyArray<readonly [text: string, said: string]> = [
  ["", "byte 0: it ends: a value is needed"],
  ["\ufeff{}", 'byte 0: it has "\\u{feff}": a value is needed'],
  ['{"é":1,"a":tru}', 'byte 12: it has "t": a value is needed'],
  ['{"a":{"b":1,"b":2}}', 'byte 12: the key "b" is there twice'],
  ['{"a":1,"\\u0061":2}', 'byte 7: the key "a" is there twice'],
  ['{"a":01}', 'byte 5: it has "0": a value is needed'],
  ['{"a":Infinity}', 'byte 5: it has "I": a value is needed'],
  ['{"a":"x\ny"}', "byte 5: a string does not end in its line"],
  ['{"a":"', "byte 5: a string does not end in its line"],
  ['{"a":"\\', "byte 5: a string does not end in its line"],
  ['{"a":"\\x41"}', "byte 5: a string has an unknown escape"],
  ['{"a":"\\ud800"}', "byte 5: a string has half a surrogate pair"],
  ['{"a":[1,]}', 'byte 8: it has "]": a value is needed'],
  ['{"a":[1 2]}', 'byte 8: it has "2": "," or "]" is needed'],
  ['{"a" 1}', 'byte 5: it has "1": ":" is needed'],
  ["{a:1}", 'byte 1: it has "a": a key is needed'],
  ["[".repeat(100_000), "byte 64: nested deeper than limits.depth, 64"],
  [`{"a":${"9".repeat(65)}}`, 'byte 5: it has "9": a value is needed'],
]

for (const [text, said] of refusals) {
  test(`parse() refuses ${JSON.stringify(text.slice(0, 24))}`, () => {
    assert.equal(reason(parsed(text)), `Cannot read the model x.json at ${said}`)
  })
}

test("parse() gives objects no members but those of the file", () => {
  const { keys } = Result.getOrThrow(parsed('{"__proto__":{"polluted":1},"constructor":2}'))
  assert.deepEqual([...keys.keys()], ["__proto__", "constructor"])
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined)
})

test("file() refuses more bytes than its limit, and reads none of them", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kvasir-"))
  try {
    const path = join(folder, "x.json")
    writeFileSync(path, "{}")
    truncateSync(path, 2 ** 27 + 1) // its end is a hole
    const { message } = await Effect.runPromise(Effect.flip(file(path)))
    const said = "byte 0: it has 134217729 bytes: over limits.fileBytes, 134217728"
    assert.equal(message, `Cannot read the model ${path} at ${said}`)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
