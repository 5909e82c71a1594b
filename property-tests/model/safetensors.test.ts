/** The safetensors reader: sound files are read in full; hostile and damaged ones fail with the very text. @module */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import * as Source from "../../lib/model/gguf/Source.ts"
import * as Safetensors from "../../lib/model/Safetensors.ts"
import { file, row, sound, soundFile } from "./safetensors.ts"
import { u64 } from "./writer.ts"

const path = fileURLToPath(new URL("../golden/kjv-3m/hf/model.safetensors", import.meta.url))

test("Safetensors.open() reads a model's header from a file as from memory", async () => {
  const data = readFileSync(path)
  const open = Effect.flatMap(Source.file(path), Safetensors.open)
  const fromFile = await Effect.runPromise(Effect.scoped(open))
  assert.deepEqual(fromFile, Result.getOrThrow(Safetensors.parse(path, data)))
  assert.equal(fromFile.tensors.size, 56)
  const name = "model.layers.5.mlp.down_proj.weight"
  const { shape, dtype, bytes } = fromFile.tensors.get(name)!
  assert.deepEqual([shape, dtype, bytes], [[192, 512], "f16", 192 * 512 * 2])
  const ends = Array.from(fromFile.tensors.values(), (info) => info.offset + info.bytes)
  assert.equal(Math.max(...ends), data.length)
})

test("Safetensors.open() reads the length and the header, and no data", async () => {
  const source = Source.bytes("x.safetensors", file(sound, 54))
  const reads: Array<number> = []
  const watched: Source.Source = {
    ...source,
    read: (offset, length) => (reads.push(offset + length), source.read(offset, length)),
  }
  await Effect.runPromise(Safetensors.open(watched))
  assert.deepEqual(reads, [8, soundFile.length - 54])
})

test("Safetensors.parse() reads every dtype and shape, whatever the order", () => {
  const start = soundFile.length - 54
  const { tensors } = Result.getOrThrow(Safetensors.parse("x.safetensors", soundFile))
  assert.deepEqual([...tensors.values()], [
    { name: "model.norm.weight", dtype: "bf16", shape: [3, 4], offset: start + 28, bytes: 24 },
    { name: "vector", dtype: "f32", shape: [7], offset: start, bytes: 28 },
    { name: "scalar", dtype: "f16", shape: [], offset: start + 52, bytes: 2 },
  ])
  assert.equal(Result.getOrThrow(Safetensors.parse("x", file("{} \n"))).tensors.size, 0)
})

const message = (bytes: Uint8Array): string => {
  const parsed = Safetensors.parse("x.safetensors", bytes)
  return Result.isSuccess(parsed) ? "no failure" : parsed.failure.message
}

const one = (value: unknown, data = 4) => file({ a: value }, data)
const f32 = (shape: ReadonlyArray<number>, begin: number, end: number, data = 4) =>
  one(row("F32", shape, begin, end), data)
const most = Number.MAX_SAFE_INTEGER

/** What a hostile file holds, and all that is said of it. */
const hostile: ReadonlyArray<readonly [what: string, bytes: Uint8Array, text: string]> = [
  [
    "nothing",
    new Uint8Array(0),
    "byte 0: the file ends in the length of the header: 8 bytes are needed, 0 are left",
  ],
  [
    "a header of 2^64 − 1 bytes",
    Uint8Array.from(u64(2n ** 64n - 1n)),
    "byte 0: the header has 18446744073709551615 bytes: over limits.headerBytes, 16777216",
  ],
  [
    "a header past the end",
    Uint8Array.from([...u64(9), 0x7b, 0x7d]),
    "byte 0: the file ends in the header: 9 bytes are needed, 2 are left",
  ],
  ["an empty header", file(""), "byte 8: it ends: a value is needed"],
  ["an array", file("[]"), "byte 8: it is not an object"],
  ["half a header", file('{"a":'), "byte 13: it ends: a value is needed"],
  ["text after the header", file("{}{}"), 'byte 10: it has "{": the end is needed'],
  [
    "a header that is not UTF-8",
    Uint8Array.from([...u64(4), 0x7b, 0xff, 0xfe, 0x7d]),
    "byte 8: it is not UTF-8",
  ],
  [
    "10,000 objects inside each other",
    file('{"a":'.repeat(10_000)),
    "byte 328: nested deeper than limits.depth, 64",
  ],
  [
    "a tensor twice",
    file('{"é":{},"a":{},"a":{}}'),
    'byte 24: the key "a" is there twice',
  ],
  [
    "a shape twice",
    file('{"a":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,4]}}', 4),
    'byte 40: the key "shape" is there twice',
  ],
  ["a number for a tensor", one(7), 'byte 9: tensor "a" is not an object'],
  ["no dtype", one({ shape: [1], data_offsets: [0, 4] }), 'byte 9: tensor "a" has no dtype'],
  [
    "a name a terminal would obey",
    file({ "\x1b[2J\u202e": null }),
    'byte 9: tensor "\\u001b[2J\\u{202e}" is not an object',
  ],
  [
    "a key of every object",
    file('{"__proto__":{"dtype":"F32"}}'),
    `byte 9: tensor "__proto__" has no shape of whole numbers from 0 to ${most}`,
  ],
  [
    "members that objects inherit",
    file('{"a":{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}', 4),
    'byte 9: tensor "a" has no dtype',
  ],
  ...([[-1], [0.5], ["1"], [2 ** 53], [null]] as const).map((shape) =>
    [
      `a shape of ${JSON.stringify(shape)}`,
      one({ dtype: "F32", shape, data_offsets: [0, 4] }),
      `byte 9: tensor "a" has no shape of whole numbers from 0 to ${most}`,
    ] as const
  ),
  [
    "a shape of 1e400",
    file('{"a":{"dtype":"F32","shape":[1e400],"data_offsets":[0,4]}}', 4),
    `byte 9: tensor "a" has no shape of whole numbers from 0 to ${most}`,
  ],
  [
    "a size that is a number no more",
    file('{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', 4),
    'byte 37: it has "N": a value is needed',
  ],
  [
    "no offsets",
    one({ dtype: "F32", shape: [1] }),
    "byte 9: " +
    `tensor "a" has no data_offsets of whole numbers from 0 to ${most}`,
  ],
  [
    "one offset",
    one({ dtype: "F32", shape: [1], data_offsets: [4] }),
    'byte 9: tensor "a" has data_offsets [4]: a begin and an end are needed',
  ],
  [
    "an end before its begin",
    f32([1], 4, 0),
    'byte 9: tensor "a" has data_offsets [4, 0]: a begin and an end are needed',
  ],
  [
    "9 axes",
    f32(Array(9).fill(1), 0, 4),
    'byte 9: tensor "a" has 9 axes: over limits.dimensions, 8',
  ],
  ["an empty axis", f32([0], 0, 0), 'byte 9: tensor "a" has an axis of size 0'],
  [
    "too few bytes",
    f32([2], 0, 4),
    'byte 9: tensor "a" has 4 bytes: [2] of f32 takes 8',
  ],
  [
    "a product of 2^106",
    f32([2 ** 52, 2 ** 52], 0, 4),
    'byte 9: tensor "a" has 4 bytes: [4503599627370496, 4503599627370496] of f32 takes ' +
    "81129638414606681695789005144064",
  ],
  [
    "a product that wraps to 4 bytes",
    f32([2 ** 31, 2 ** 31, 1], 0, 4),
    'byte 9: tensor "a" has 4 bytes: [2147483648, 2147483648, 1] of f32 takes 18446744073709551616',
  ],
  [
    "data past the end",
    f32([2], 0, 8),
    'byte 9: tensor "a" ends at byte 70: the file has 66',
  ],
  [
    "data at the end of numbers",
    f32([1], most - 4, most),
    'byte 9: tensor "a" ends at byte 9007199254741083: the file has 96',
  ],
  [
    "tensors that overlap",
    file({ a: row("F16", [4], 0, 8), b: row("F16", [2], 4, 8) }, 8),
    'byte 119: tensor "b" overlaps tensor "a"',
  ],
  [
    "tensors in one place",
    file({ a: row("F16", [2], 0, 4), b: row("F16", [2], 0, 4) }, 4),
    'byte 115: tensor "b" overlaps tensor "a"',
  ],
  [
    "a hole",
    file({ a: row("F16", [2], 0, 4), b: row("F16", [2], 6, 10) }, 10),
    'byte 120: a hole lies between tensor "a" and tensor "b"',
  ],
  [
    "a hole at the beginning",
    f32([1], 4, 8, 8),
    'byte 62: a hole lies between the header and tensor "a"',
  ],
  [
    "bytes of no tensor",
    f32([1], 0, 4, 9),
    'byte 66: 5 bytes follow tensor "a", and are of no tensor',
  ],
]

for (const [what, bytes, text] of hostile) {
  test(`Safetensors.parse() refuses ${what}`, () => {
    assert.equal(message(bytes), `Cannot read the model x.safetensors at ${text}`)
  })
}

test("Safetensors.parse() names the tensor and the dtype that it does not support", () => {
  for (const dtype of ["I64", "F8_E4M3", "constructor"]) {
    assert.equal(
      message(one(row(dtype, [1], 0, 4))),
      `Cannot run a model whose tensor "a" dtype is "${dtype}": F32, F16 or BF16 is supported`,
    )
  }
})

test("Safetensors.parse() says where and why a file is cut, at every byte", () => {
  for (let length = 0; length < soundFile.length; length++) {
    const parsed = Safetensors.parse("x", soundFile.subarray(0, length))
    assert.ok(Result.isFailure(parsed) && parsed.failure._tag === "BadModelFile", `${length}`)
    assert.ok(parsed.failure.offset <= length)
    assert.match(parsed.failure.reason, /^the file ends in |ends at byte \d+: the file has/)
  }
})

test("Safetensors.parse() of a large header is linear", () => {
  const rows = Array.from(
    { length: 60_000 },
    (_, i) => [`t${i}`, row("F16", [2], 4 * i, 4 * i + 4)],
  )
  assert.equal(message(file(Object.fromEntries(rows), 240_000)), "no failure")
  assert.match(message(file(" ".repeat(8_000_000) + "{}", 1)), /1 bytes follow the header/)
  assert.match(message(file('{"a":[' + "1,".repeat(2_000_000))), /it ends: a value is needed/)
  const many = Object.fromEntries(Array.from({ length: 65_537 }, (_, i) => [`t${i}`, 0]))
  assert.match(message(file(many)), /65537 tensors: over limits.tensors, 65536/)
})

const text = new TextDecoder().decode(soundFile.subarray(8, soundFile.length - 54))

/** One change of a header's text, or of the bytes of the file. */
const change = fc.oneof(
  fc.record({
    at: fc.nat(text.length - 1),
    cut: fc.nat(4),
    put: fc.oneof(
      fc.constantFrom("", "0", "-1", "9007199254740993", "1e9", "{", "]", ",", '"', "null", "F32"),
      fc.string({ maxLength: 3 }),
    ),
  }),
  fc.record({ at: fc.nat(soundFile.length - 1), byte: fc.nat(255) }),
  fc.record({ keep: fc.nat(soundFile.length) }),
)

test("Safetensors.parse() of a damaged file fails with a type, or keeps every tensor inside it", () => {
  let refused = 0
  let read = 0
  const check = (bytes: Uint8Array) => {
    const parsed = Safetensors.parse("x.safetensors", bytes)
    if (Result.isFailure(parsed)) {
      refused++
      assert.match(parsed.failure._tag, /^(BadModelFile|UnsupportedModel)$/)
      assert.ok(parsed.failure.message.length < 400)
      return
    }
    read++
    const infos = [...parsed.success.tensors.values()].sort((a, b) => a.offset - b.offset)
    let end = infos[0]?.offset ?? bytes.length
    for (const info of infos) {
      assert.ok(info.offset === end && info.bytes > 0)
      end = info.offset + info.bytes
    }
    assert.equal(end, bytes.length)
  }
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
      let header = text
      for (const one of changes) {
        if (!("put" in one)) continue
        header = header.slice(0, one.at) + one.put + header.slice(one.at + one.cut)
      }
      let bytes = file(header, 54)
      for (const one of changes) {
        if ("byte" in one && one.at < bytes.length) bytes[one.at] = one.byte
        if ("keep" in one) bytes = bytes.slice(0, one.keep)
      }
      check(bytes)
    }),
    { numRuns: 4000 },
  )
  assert.ok(refused > 400 && read > 100, `${refused} refused and ${read} read: both are wanted`)
})
