/** The GGUF reader: hostile and damaged files fail with a type and the very text. @module */
import { Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import * as Gguf from "../../lib/model/Gguf.ts"
import {
  entry,
  file,
  header,
  type Part,
  sound,
  soundFile,
  string,
  tensor,
  types as t,
  u32,
  u64,
  u8,
} from "./writer.ts"

const message = (bytes: Uint8Array): string => {
  const parsed = Gguf.parse("x.gguf", bytes)
  if (Result.isSuccess(parsed)) return "no failure"
  assert.notEqual(parsed.failure._tag, "More")
  return parsed.failure._tag === "More" ? "" : parsed.failure.message
}

const long = (n: number): Part => [...u64(n), ...new Uint8Array(4)]
/** What a hostile file holds, and all that is said of it. */
const hostile: ReadonlyArray<readonly [what: string, bytes: Uint8Array, text: string]> = [
  [
    "another magic",
    file([[0x50, 0x4b, 3, 4]]),
    'byte 0: it begins with 50 4b 03 04: 47 47 55 46, "GGUF", is needed',
  ],
  [
    "big-endian",
    file([header(0, 0, 0x03000000)]),
    "byte 4: it is big-endian: only little-endian files are read",
  ],
  [
    "2^63 tensors",
    file([header(2n ** 63n, 0)]),
    "byte 8: 9223372036854775808 tensors: over limits.tensors, 65536",
  ],
  [
    "65537 tensors",
    file([header(65537, 0)]),
    "byte 8: 65537 tensors: over limits.tensors, 65536",
  ],
  [
    "more tensors than bytes",
    file([header(9, 0)]),
    "byte 16: the file ends in 9 tensors: 288 bytes are needed, 16 are left",
  ],
  [
    "2^64 − 1 entries",
    file([header(0, 2n ** 64n - 1n)]),
    "byte 16: 18446744073709551615 metadata entries: over limits.metadataEntries, 65536",
  ],
  [
    "more entries than bytes",
    file([header(0, 9)]),
    "byte 24: the file ends in 9 metadata entries: 117 bytes are needed, 8 are left",
  ],
  [
    "a key of 2^63 bytes",
    file([header(0, 1), u64(2n ** 63n)], 32),
    "byte 24: metadata key 0 has 9223372036854775808 bytes: over limits.stringBytes, 8388608",
  ],
  [
    "a key past the end",
    file([header(0, 1), u64(33)], 32),
    "byte 32: the file ends in metadata key 0: 33 bytes are needed, 32 are left",
  ],
  [
    "a key that is not UTF-8",
    file([header(0, 1), [...u64(2), 0xc3, 0x28]]),
    "byte 32: metadata key 0 is not UTF-8",
  ],
  [
    "a key twice",
    file([header(0, 2), entry("k", t.u8, u8(1)), entry("k", t.u8, u8(1))]),
    'byte 38: the key "k" is there twice',
  ],
  [
    "a key a terminal would obey",
    file([header(0, 1), entry("\x1b[2J\u202e", 13)]),
    'byte 39: "\\u001b[2J\\u{202e}" is of the unknown value type 13',
  ],
  [
    "a bool of 2",
    file([header(0, 1), entry("k", t.bool, u8(2))]),
    'byte 37: "k" has a bool of 2: 0 or 1 is needed',
  ],
  [
    "an array of arrays",
    file([header(0, 1), entry("k", t.array, u32(t.array), u64(1))]),
    'byte 37: "k" is an array of arrays: only flat ones are read',
  ],
  [
    "an array of an unknown type",
    file([header(0, 1), entry("k", t.array, u32(99), u64(1))]),
    'byte 37: the elements of "k" is of the unknown value type 99',
  ],
  [
    "an array of 2^20 + 1",
    file([header(0, 1), entry("k", t.array, u32(t.u8), u64(2 ** 20 + 1))]),
    'byte 41: 1048577 elements of "k": over limits.arrayElements, 1048576',
  ],
  [
    "an array of 2^63",
    file([header(0, 1), entry("k", t.array, u32(t.u64), u64(2n ** 63n))]),
    'byte 41: 9223372036854775808 elements of "k": over limits.arrayElements, 1048576',
  ],
  [
    "an array past the end",
    file([header(0, 1), entry("k", t.array, u32(t.u64), u64(3))]),
    'byte 49: the file ends in 3 elements of "k": 24 bytes are needed, 15 are left',
  ],
  [
    "strings past the end",
    file([header(0, 1), entry("k", t.array, u32(t.string), u64(1), long(9))]),
    'byte 57: the file ends in an element of "k": 9 bytes are needed, 7 are left',
  ],
  [
    "alignment 3",
    file([header(0, 1), entry("general.alignment", t.u32, u32(3))]),
    'byte 53: "general.alignment" is 3: a power of two is needed',
  ],
  [
    "alignment 0",
    file([header(0, 1), entry("general.alignment", t.u32, u32(0))]),
    'byte 53: "general.alignment" is 0: a whole number from 1 to 2147483648 is needed',
  ],
  [
    "alignment as text",
    file([header(0, 1), entry("general.alignment", t.string, string("32"))]),
    'byte 53: "general.alignment" is "32": a whole number from 1 to 2147483648 is needed',
  ],
  [
    "no axes",
    file([header(1, 0), tensor("a", [], 0, 0)], 64),
    'byte 33: tensor "a" has 0 axes: 1 to limits.dimensions, 4, are read',
  ],
  [
    "5 axes",
    file([header(1, 0), tensor("a", [1, 1, 1, 1, 1], 0, 0)], 64),
    'byte 33: tensor "a" has 5 axes: 1 to limits.dimensions, 4, are read',
  ],
  [
    "an empty axis",
    file([header(1, 0), tensor("a", [1, 0], 0, 0)], 64),
    'byte 24: tensor "a" has an axis of size 0',
  ],
  [
    "a product of 2^128",
    file([header(1, 0), tensor("a", [2n ** 63n, 2n ** 63n, 4], 0, 0)], 64),
    'byte 24: tensor "a" ends at byte 1361129467683753853853498429727072845920: the file has 160',
  ],
  [
    "a product that wraps to 4 bytes",
    file([header(1, 0), tensor("a", [2n ** 62n + 1n], 0, 0)], 64),
    'byte 24: tensor "a" ends at byte 18446744073709551684: the file has 128',
  ],
  [
    "rows that split a block",
    file([header(1, 0), tensor("a", [33, 32], 8, 0)], 2048),
    'byte 24: tensor "a" has rows of 33 elements: q8_0 needs a multiple of 32',
  ],
  [
    "rows that split a super-block",
    file([header(1, 0), tensor("a", [288, 8], 12, 0)], 2048),
    'byte 24: tensor "a" has rows of 288 elements: q4_K needs a multiple of 256',
  ],
  [
    "an offset of 16",
    file([header(1, 0), tensor("a", [1], 0, 16)], 64),
    'byte 24: tensor "a" is at offset 16: a multiple of 32 is needed',
  ],
  [
    "an offset past the end",
    file([header(1, 0), tensor("a", [1], 0, 64)], 64),
    'byte 24: tensor "a" ends at byte 132: the file has 128',
  ],
  [
    "an offset of 2^63",
    file([header(1, 0), tensor("a", [1], 0, 2n ** 63n)], 64),
    'byte 24: tensor "a" ends at byte 9223372036854775876: the file has 128',
  ],
  [
    "an offset that wraps to 0",
    file([header(1, 0), tensor("a", [1], 0, 2n ** 64n - 64n)], 64),
    'byte 24: tensor "a" ends at byte 18446744073709551620: the file has 128',
  ],
  [
    "tensors that overlap",
    file([header(2, 0), tensor("a", [9], 0, 0), tensor("b", [1], 0, 32)], 64),
    'byte 128: tensor "b" overlaps tensor "a"',
  ],
  [
    "a tensor twice",
    file([header(2, 0), tensor("a", [1], 0, 0), tensor("a", [1], 0, 32)], 64),
    'byte 57: the tensor "a" is there twice',
  ],
]

for (const [what, bytes, text] of hostile) {
  test(`Gguf.parse() refuses ${what}`, () => {
    assert.equal(message(bytes), `Cannot read the model x.gguf at ${text}`)
  })
}

test("Gguf.parse() names what it does not support", () => {
  const text = (what: string, value: string, supported: string) =>
    `Cannot run a model whose ${what} is ${value}: ${supported} is supported`
  assert.equal(message(file([header(0, 0, 2)])), text("GGUF version", "2", "3"))
  const all = "F32, F16, BF16, Q8_0, Q6_K, Q5_0, Q4_K, Q4_1 or Q4_0"
  const one = (type: number) => message(file([header(1, 0), tensor("a", [256], type, 0)], 1024))
  assert.equal(one(13), text('tensor "a" type', "Q5_K (13)", all))
  assert.equal(one(17), text('tensor "a" type', "IQ2_XS (17)", all))
  assert.equal(one(77), text('tensor "a" type', "77", all))
})

test("Gguf.parse() says where and why a file is cut, at every byte", () => {
  for (let length = 0; length < soundFile.length; length++) {
    const parsed = Gguf.parse("x.gguf", soundFile.subarray(0, length))
    assert.ok(Result.isFailure(parsed) && parsed.failure._tag === "BadModelFile", `${length}`)
    assert.ok(parsed.failure.offset <= length)
    assert.match(
      parsed.failure.reason,
      /^the file ends in |ends at byte \d+: the file has/,
    )
  }
  const cut = (length: number) =>
    message(soundFile.subarray(0, length)).replace("Cannot read the model x.gguf at ", "")
  assert.equal(cut(2), "byte 0: the file ends in the magic: 4 bytes are needed, 2 are left")
  assert.equal(cut(6), "byte 4: the file ends in the version: 4 bytes are needed, 2 are left")
  assert.equal(
    cut(8),
    "byte 8: the file ends in the number of tensors: 8 bytes are needed, 0 are left",
  )
  assert.equal(
    cut(soundFile.length - 1),
    `byte ${sound.slice(0, -1).flat().length}: tensor "last" ends at byte ${soundFile.length}: ` +
      `the file has ${soundFile.length - 1}`,
  )
})

/** One change of a file: some bytes replaced, the end cut off, or bytes added. */
const change = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      at: fc.nat(soundFile.length - 1),
      put: fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 4 }).map((bytes) => [...bytes]),
        fc.constantFrom(0n, 1n, 3n, 5n, 31n, 2n ** 31n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n)
          .map(u64),
        fc.nat(40).map(u32),
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ keep: fc.nat(soundFile.length) }) },
  { weight: 1, arbitrary: fc.record({ add: fc.uint8Array({ minLength: 1, maxLength: 64 }) }) },
)

const changed = (changes: ReadonlyArray<typeof change extends fc.Arbitrary<infer A> ? A : never>) =>
  changes.reduce((bytes, one) => {
    if ("keep" in one) return bytes.slice(0, one.keep)
    if ("add" in one) return Uint8Array.of(...bytes, ...one.add)
    const out = bytes.slice()
    one.put.forEach((byte, i) => one.at + i < out.length && (out[one.at + i] = byte))
    return out
  }, soundFile)

test("Gguf.parse() of a damaged file fails with a type, or keeps every tensor inside it", () => {
  let refused = 0
  let read = 0
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const bytes = changed(changes)
      const parsed = Gguf.parse("x.gguf", bytes)
      if (Result.isFailure(parsed)) {
        refused++
        assert.match(parsed.failure._tag, /^(BadModelFile|UnsupportedModel)$/)
        return
      }
      read++
      let end = 0
      const infos = [...parsed.success.tensors.values()]
      for (const info of infos.sort((a, b) => a.offset - b.offset)) {
        assert.ok(info.offset >= end && info.bytes > 0)
        end = info.offset + info.bytes
        assert.ok(Number.isSafeInteger(end) && end <= bytes.length)
      }
    }),
    { numRuns: 4000 },
  )
  assert.ok(refused > 400 && read > 400, `${refused} refused and ${read} read: both are wanted`)
})
