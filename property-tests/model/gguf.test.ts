/** The GGUF reader: sound files are read in full. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import * as Gguf from "../../lib/model/Gguf.ts"
import * as Source from "../../lib/model/gguf/Source.ts"
import { array, entry, file, header, soundFile, string, tensor, types as t } from "./writer.ts"

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url))

const models = [
  { name: "models/kjv-3m-q8_0.gguf", matrix: "q8_0", bytes: 2048 * 192 / 32 * 34 },
  { name: "property-tests/golden/kjv-3m/kjv-3m-q4_0.gguf", matrix: "q4_0", bytes: 2048 * 6 * 18 },
  { name: "property-tests/golden/kjv-3m/kjv-3m-f16.gguf", matrix: "f16", bytes: 2048 * 192 * 2 },
] as const

for (const { name, matrix, bytes } of models) {
  test(`Gguf.open() reads ${name} from a file as from memory`, async () => {
    const data = readFileSync(path(name))
    const fromFile = Effect.gen(function* () {
      const source = yield* Source.file(path(name))
      const gguf = yield* Gguf.open(source)
      const embedding = yield* Gguf.tensorBytes(source, gguf.tensors.get("token_embd.weight")!)
      return { gguf, embedding }
    })
    const { gguf, embedding } = await Effect.runPromise(Effect.scoped(fromFile))
    const parsed = Result.getOrThrow(Gguf.parse(path(name), data))
    assert.deepEqual(gguf, parsed)
    assert.equal(gguf.version, 3)
    assert.equal(gguf.alignment, 32)
    assert.equal(gguf.metadata.size, 22)
    assert.equal(gguf.tensors.size, 56)
    const info = gguf.tensors.get("token_embd.weight")!
    const want = { name: info.name, dtype: matrix, shape: [2048, 192], offset: 64320, bytes }
    assert.deepEqual(info, want)
    assert.deepEqual(gguf.tensors.get("blk.5.ffn_down.weight")!.shape, [192, 512])
    assert.deepEqual(gguf.tensors.get("output_norm.weight")!.dtype, "f32")
    assert.deepEqual([...embedding], [...data.subarray(64320, 64320 + bytes)])
    assert.deepEqual([embedding.byteOffset, embedding.buffer.byteLength], [0, bytes])
    const last = Math.max(...[...gguf.tensors.values()].map((t) => t.offset + t.bytes))
    assert.equal(last, data.length)
    assert.equal(Result.getOrThrow(Gguf.string(gguf, "general.architecture")), "llama")
    const range = { min: 1, max: 100 }
    assert.equal(Result.getOrThrow(Gguf.integer(gguf, "llama.block_count", range)), 6)
    assert.equal(Result.getOrThrow(Gguf.strings(gguf, "tokenizer.ggml.tokens")).length, 2048)
  })
}

test("Gguf.parse() reads every value type exactly", () => {
  const gguf = Result.getOrThrow(Gguf.parse("x.gguf", soundFile))
  assert.deepEqual(
    Object.fromEntries([...gguf.metadata].map(([key, { type, data }]) => [key, [type, data]])),
    {
      u8: ["u8", 200],
      i8: ["i8", -56],
      u16: ["u16", 0xff01],
      i16: ["i16", -255],
      u32: ["u32", 0xffffffff],
      i32: ["i32", -1],
      f32: ["f32", 0.5],
      bool: ["bool", true],
      string: ["string", "naïve 🙂"],
      u64: ["u64", 2 ** 53 - 1],
      big: ["u64", 2n ** 53n],
      i64: ["i64", -7],
      f64: ["f64", Math.PI],
      i32s: ["i32[]", Int32Array.of(1, -1)],
      bools: ["bool[]", Uint8Array.of(1, 0)],
      strings: ["string[]", ["a", "", "\ufeffb"]],
      u64s: ["u64[]", BigUint64Array.of(1n, 2n)],
      "general.alignment": ["u32", 64],
    },
  )
  const start = soundFile.length - 194
  assert.equal(start % 64, 0)
  assert.deepEqual([...gguf.tensors.values()], [
    { name: "matrix", dtype: "q8_0", shape: [2, 32], offset: start + 64, bytes: 68 },
    { name: "vector", dtype: "f32", shape: [7], offset: start, bytes: 28 },
    { name: "last", dtype: "bf16", shape: [1, 1, 1, 1], offset: start + 192, bytes: 2 },
  ])
})

test("Gguf.parse() knows each form of weights by its number, and its bytes", () => {
  const forms = [
    [0, "f32", 4096],
    [1, "f16", 2048],
    [2, "q4_0", 576],
    [3, "q4_1", 640],
    [6, "q5_0", 704],
    [8, "q8_0", 1088],
    [12, "q4_K", 576],
    [14, "q6_K", 840],
    [30, "bf16", 2048],
  ] as const
  for (const [type, dtype, bytes] of forms) {
    const data = file([header(1, 0), tensor("a", [512, 2], type, 0)], bytes)
    const { tensors } = Result.getOrThrow(Gguf.parse("x.gguf", data))
    const offset = data.length - bytes
    assert.deepEqual(tensors.get("a"), { name: "a", dtype, shape: [2, 512], offset, bytes })
  }
})

test("Gguf.parse() of a beginning asks for more, or reads what the whole file reads", () => {
  const whole = Result.getOrThrow(Gguf.parse("x.gguf", soundFile))
  for (let length = 0; length < soundFile.length; length++) {
    const parsed = Gguf.parse("x.gguf", soundFile.subarray(0, length), soundFile.length)
    if (Result.isSuccess(parsed)) assert.deepEqual(parsed.success, whole)
    else if (parsed.failure._tag !== "More") assert.fail(parsed.failure.message)
    else assert.ok(parsed.failure.bytes > length && parsed.failure.bytes <= soundFile.length)
  }
})

test("Gguf.open() reads a growing beginning, never past the file nor twice the header", async () => {
  const text = array(t.string, ...Array.from({ length: 3 }, () => string("x".repeat(900_000))))
  const data = file([header(1, 1), entry("k", t.array, text), tensor("a", [1], 0, 0)], 8_000_000)
  const source = Source.bytes("x.gguf", data)
  const reads: Array<number> = []
  const watched: Source.Source = {
    ...source,
    read: (offset, length) => (reads.push(offset + length), source.read(offset, length)),
  }
  const gguf = await Effect.runPromise(Gguf.open(watched))
  assert.equal(Result.getOrThrow(Gguf.strings(gguf, "k"))[2]!.length, 900_000)
  const headerBytes = data.length - 8_000_000
  assert.ok(reads.length > 1 && reads.every((end) => end <= 2 * headerBytes), `${reads}`)
})

const failure = <A, E>(effect: Effect.Effect<A, E>): Promise<E> =>
  Effect.runPromise(Effect.flip(effect))

test("Source.file() says why it cannot be read", async () => {
  const why = async (name: string) => (await failure(Effect.scoped(Source.file(name)))).reason
  assert.equal(await why(path("models/none.gguf")), "there is no such file")
  assert.equal(await why(path("deno.json/none.gguf")), "there is no such file")
  assert.equal(await why(path("models")), "it is a directory")
  assert.equal(await why("/dev/null"), "it is not a regular file")
})

test("Source reads stay inside it and share no memory", async () => {
  const data = Uint8Array.of(1, 2, 3, 4)
  const inMemory = Source.bytes("four", data)
  const read = await Effect.runPromise(inMemory.read(1, 2))
  read[0] = 9
  assert.deepEqual([...data], [1, 2, 3, 4])
  assert.deepEqual([read.byteOffset, read.buffer.byteLength], [0, 2])
  for (const [offset, length] of [[3, 2], [-1, 1], [5, 0], [0, -1], [0.5, 1], [NaN, 1]] as const) {
    const error = await failure(inMemory.read(offset, length))
    assert.equal(error.reason, `${length} bytes are wanted: it is 4 bytes long`)
  }
})

test("Gguf getters give the value, the default, or an error that names key, value and need", () => {
  const gguf = Result.getOrThrow(Gguf.parse("x.gguf", soundFile))
  const reason = <A>(got: Result.Result<A, { readonly message: string }>) =>
    Result.isFailure(got) ? got.failure.message.replace(/^.* byte \d+: /, "") : got.success
  const range = { min: 0, max: 10 }
  assert.equal(reason(Gguf.number(gguf, "f32", range)), 0.5)
  assert.equal(reason(Gguf.integer(gguf, "none", { ...range, otherwise: 7 })), 7)
  assert.equal(reason(Gguf.boolean(gguf, "bool")), true)
  assert.deepEqual(reason(Gguf.numbers(gguf, "u64s", range)), [1, 2])
  const cases: ReadonlyArray<readonly [unknown, string]> = [
    [Gguf.integer(gguf, "none", range), '"none" is missing: a whole number from 0 to 10 is needed'],
    [Gguf.integer(gguf, "f32", range), '"f32" is 0.5: a whole number from 0 to 10 is needed'],
    [Gguf.number(gguf, "u8", range), '"u8" is 200: a number from 0 to 10 is needed'],
    [
      Gguf.number(gguf, "big", { min: 0, max: 2 ** 60 }),
      `"big" is 9007199254740992: a number from 0 to ${2 ** 60} is needed`,
    ],
    [Gguf.boolean(gguf, "u8"), '"u8" is 200: true or false is needed'],
    [Gguf.string(gguf, "strings"), '"strings" is 3 elements of string[]: a string is needed'],
    [
      Gguf.strings(gguf, "string"),
      '"string" is "na\\u{ef}ve \\u{1f642}": an array of strings is needed',
    ],
    [
      Gguf.numbers(gguf, "i32s", range),
      '"i32s" is 2 elements of i32[]: an array of numbers from 0 to 10 is needed',
    ],
    [
      Gguf.numbers(gguf, "bools", range),
      '"bools" is 2 elements of bool[]: an array of numbers from 0 to 10 is needed',
    ],
  ]
  for (const [got, text] of cases) {
    assert.equal(reason(got as Result.Result<unknown, { readonly message: string }>), text)
  }
})
