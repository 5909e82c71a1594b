/** Operations: shapes by name, values by the definition, failures with numbers. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { Effect, Result } from "effect"
import fc from "fast-check"
import * as Tensor from "../../lib/tensor/Tensor.ts"
import { evaluate, failure, record } from "./evaluate.ts"

const iota = (n: number, from = 0): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => from + i)

const x = Tensor.constant("f32", "tokens model", { tokens: 2, model: 3 }, iota(6))
const w = Tensor.constant(
  "f32",
  "ffn model",
  { ffn: 2, model: 3 },
  Float32Array.of(1, 0, 0, 1, 1, 1),
)
const wrong = Tensor.constant("f32", "ffn model", { ffn: 2, model: 4 }, iota(8))
const logits = Tensor.constant(
  "f32",
  "rows vocab",
  { rows: 2, vocab: 3 },
  Float32Array.of(1, 3, 2, 9, 0, 9),
)

const both = <A, B, E, R>(
  a: Effect.Effect<A, E, R>,
  b: Effect.Effect<B, E, R>,
) => Effect.all([a, b] as const)

const shown = (result: ReturnType<typeof evaluate>) => [
  result.tensor.axes,
  [...result.tensor.shape],
  [...result.values],
]

test("linear contracts the last axis by name", () => {
  const y = both(x, w).pipe(Effect.flatMap(([a, b]) => Tensor.linear(a, b)))
  assert.deepEqual(shown(evaluate(y)), ["tokens ffn", [2, 2], [0, 3, 3, 12]])
  const named: Tensor.Tensor<"f32", "tokens ffn"> = evaluate(y).tensor
  assert.equal(named.dtype, "f32")
})

test("linear fails where sizes differ, with both numbers", () => {
  const error = failure(both(x, wrong).pipe(Effect.flatMap(([a, b]) => Tensor.linear(a, b))))
  assert.equal(error._tag, "ShapeMismatch")
  assert.equal(error.message, 'Cannot bind axis "k" of weight to 3: it is 4')
})

test("linear and embed refuse quantised rows that are not whole blocks", () => {
  // Two rows of 16 in one block: as many bytes as 32 weights, and no row begins at a block but the first.
  const halves = Tensor.constant("q8_0", "ffn model", { ffn: 2, model: 16 }, new Uint8Array(34))
  const y = Tensor.constant("f32", "model", { model: 16 }, iota(16))
  const ids = Tensor.constant("u32", "tokens", { tokens: 1 }, Uint32Array.of(0))
  const errors = [
    failure(both(y, halves).pipe(Effect.flatMap(([a, b]) => Tensor.linear(a, b)))),
    failure(both(ids, halves).pipe(Effect.flatMap(([a, b]) => Tensor.embed(a, b)))),
  ]
  for (const error of errors) {
    assert.equal(error._tag, "ShapeMismatch")
    assert.match(error.message, /"model \(whole blocks\)" of \w+ to 32: it is 16/)
  }
})

test("matmul contracts the last axis with the first", () => {
  const b = Tensor.constant(
    "f32",
    "model out",
    { model: 3, out: 2 },
    Float32Array.of(1, 0, 0, 1, 1, 1),
  )
  const y = both(x, b).pipe(Effect.flatMap(([a, c]) => Tensor.matmul(a, c)))
  assert.deepEqual(shown(evaluate(y)), ["tokens out", [2, 2], [2, 3, 8, 9]])
})

test("add and mul take either order of arguments and broadcast nothing", () => {
  const sum = both(x, x).pipe(Effect.flatMap(([a, b]) => Tensor.add(a, b)))
  const piped = both(x, x).pipe(
    Effect.flatMap(([a, b]) => a.slot === b.slot ? Tensor.add(a, b) : Tensor.mul(b)(a)),
  )
  assert.deepEqual(shown(evaluate(sum))[2], [0, 2, 4, 6, 8, 10])
  assert.deepEqual(shown(evaluate(piped))[2], [0, 1, 4, 9, 16, 25])
  const turned = Tensor.constant("f32", "tokens model", { tokens: 3, model: 2 }, iota(6))
  const error = failure(both(x, turned).pipe(Effect.flatMap(([a, b]) => Tensor.add(a, b))))
  assert.equal(error.message, 'Cannot bind axis "tokens" of that to 2: it is 3')
})

test("rmsNorm, softmax and silu keep the axes", () => {
  const weight = Tensor.constant("f32", "model", { model: 3 }, Float32Array.of(1, 1, 1))
  const norm = (eps: number) =>
    both(x, weight).pipe(Effect.flatMap(([a, b]) => Tensor.rmsNorm(a, b, { eps })))
  assert.equal(evaluate(norm(1e-5)).tensor.axes, "tokens model")
  assert.equal(failure(norm(0)).message, "Cannot take 0 as eps: it must be above 0")
  const rows = evaluate(x.pipe(Effect.flatMap(Tensor.softmax)))
  assert.ok(Math.abs(rows.values[0]! + rows.values[1]! + rows.values[2]! - 1) < 1e-6)
  assert.equal(evaluate(x.pipe(Effect.flatMap(Tensor.silu))).values[0], 0)
})

test("rope turns by position, and asks for pairs that the heads have", () => {
  const q = Tensor.constant(
    "f32",
    "tokens heads headDim",
    { tokens: 2, heads: 1, headDim: 3 },
    iota(6),
  )
  const positions = Tensor.constant("u32", "tokens", { tokens: 2 }, Uint32Array.of(0, 1))
  const turn = (rotary: number) =>
    Effect.gen(function* () {
      const data = Result.getOrThrow(Tensor.turns({ theta: 1e4, rotary }))
      const sizes = { pairs: rotary / 2, two: 2 }
      const turns = yield* Tensor.constant("u32", "pairs two", sizes, data)
      return yield* Tensor.rope(yield* q, yield* positions, turns, { pairing: "half" })
    })
  const { values } = evaluate(turn(2))
  assert.deepEqual([...values.subarray(0, 3), values[5]], [0, 1, 2, 5])
  assert.ok(Math.abs(values[3]! - (3 * Math.cos(1) - 4 * Math.sin(1))) < 1e-6)
  assert.equal(
    failure(turn(4)).message,
    'Cannot bind axis "pairs (of two elements)" of turns to 1: it is 2',
  )
})

test("turns refuses odd and wild frequencies, and divides by factors", () => {
  const refused = (options: Parameters<typeof Tensor.turns>[0]) =>
    Result.getOrThrow(Result.flip(Tensor.turns(options))).message
  assert.equal(
    refused({ theta: 1e4, rotary: 3 }),
    "Cannot take 3 as rotary: it must be even: elements turn in pairs",
  )
  assert.match(refused({ theta: NaN, rotary: 2 }), /^Cannot take NaN as theta/)
  assert.match(refused({ theta: 1e4, rotary: 4, factors: [1] }), /it must be 2, one a pair$/)
  assert.match(refused({ theta: 1e4, rotary: 2, factors: [0] }), /^Cannot take Infinity/)
  const [whole, half] = [[1], [2]].map((factors) =>
    Result.getOrThrow(Tensor.turns({ theta: 1e4, rotary: 2, factors }))
  )
  assert.equal(whole![0]! >>> 1, half![0])
})

test("embed puts the axis of the ids before that of the rows, and checks ids of the host", () => {
  const rows = (...ids: ReadonlyArray<number>) =>
    both(Tensor.constant("u32", "tokens", { tokens: ids.length }, Uint32Array.from(ids)), w).pipe(
      Effect.flatMap(([a, b]) => Tensor.embed(a, b)),
    )
  assert.deepEqual(shown(evaluate(rows(1, 0))), ["tokens model", [2, 3], [1, 1, 1, 1, 0, 0]])
  assert.equal(
    failure(rows(1, 2)).message,
    "Cannot take 2 as id: it must be below 2, the rows of the table",
  )
})

test("concat, slice and permute agree with arrays of arrays", () => {
  const sizes = fc.record({
    a: fc.integer({ min: 1, max: 4 }),
    b: fc.nat(4),
    c: fc.integer({ min: 1, max: 4 }),
  })
  fc.assert(fc.property(sizes, fc.nat(4), fc.nat(4), ({ a, b, c }, p, q) => {
    const [from, to] = [Math.min(p, q, b), Math.min(Math.max(p, q), b)]
    const t = Tensor.constant("f32", "a b c", { a, b, c }, iota(a * b * c))
    const at = (i: number, j: number, k: number) => (i * b + j) * c + k
    const all = <T>(n: number, f: (i: number) => T) => Array.from({ length: n }, (_, i) => f(i))

    const part = evaluate(t.pipe(Effect.flatMap((y) => Tensor.slice(y, "b", from, to))))
    assert.deepEqual(part.tensor.shape, [a, to - from, c])
    assert.deepEqual(
      [...part.values],
      all(a, (i) => all(to - from, (j) => all(c, (k) => at(i, from + j, k)))).flat(2),
    )

    const turned = evaluate(t.pipe(Effect.flatMap((y) => Tensor.permute(y, "c a b"))))
    const named: Tensor.Tensor<"f32", "c a b"> = turned.tensor
    assert.deepEqual(named.shape, [c, a, b])
    assert.deepEqual(
      [...turned.values],
      all(c, (k) => all(a, (i) => all(b, (j) => at(i, j, k)))).flat(2),
    )

    const whole = evaluate(t.pipe(Effect.flatMap((y) =>
      Effect.flatMap(
        Effect.all([Tensor.slice(y, "b", 0, from), Tensor.slice(y, "b", from, b)]),
        ([left, right]) => Tensor.concat(left, right, "b"),
      )
    )))
    assert.deepEqual([...whole.values], [...iota(a * b * c)])
  }))
})

test("slice, permute and concat refuse what does not fit", () => {
  const cut = (from: number, to: number) =>
    x.pipe(Effect.flatMap((a) => Tensor.slice(a, "model", from, to)))
  for (const [from, to] of [[-1, 2], [2, 1], [0, 4], [0.5, 1]] as const) {
    assert.equal(failure(cut(from, to))._tag, "InvalidArgument")
  }
  assert.equal(
    failure(cut(0, 4)).message,
    'Cannot take 0…4 as slice: it must be a range within 0…3 of axis "model"',
  )
  assert.equal(
    failure(x.pipe(Effect.flatMap((a) => Tensor.permute(a, "tokens tokens"))))._tag,
    "InvalidArgument",
  )
  const error = failure(both(w, wrong).pipe(Effect.flatMap(([a, b]) => Tensor.concat(a, b, "ffn"))))
  assert.equal(error.message, 'Cannot bind axis "model" of b to 3: it is 4')
})

test("cast goes to f32 and back, and to its own dtype for nothing", () => {
  const back = x.pipe(
    Effect.flatMap((a) => Tensor.cast(a, "f16")),
    Effect.flatMap((a) => Tensor.cast(a, "f32")),
  )
  assert.deepEqual(shown(evaluate(back)), ["tokens model", [2, 3], [0, 1, 2, 3, 4, 5]])
  const half: Tensor.Tensor<"bf16", "tokens model"> =
    evaluate(x.pipe(Effect.flatMap((a) => Tensor.cast(a, "bf16")))).tensor
  assert.equal(half.dtype, "bf16")
  const same = x.pipe(Effect.flatMap((a) => Tensor.cast(a, "f32")))
  assert.deepEqual(record(same).open.work, [])
})

test("argmax and sample drop the last axis", () => {
  const best = evaluate(logits.pipe(Effect.flatMap(Tensor.argmax)))
  const named: Tensor.Tensor<"u32", "rows"> = best.tensor
  assert.deepEqual([named.axes, [...best.values]], ["rows", [1, 0]])
  const noise = Tensor.constant(
    "u32",
    "rows noise",
    { rows: 2, noise: 2 },
    Uint32Array.of(1, 2, 3, 4),
  )
  const draw = (options: Tensor.SampleOptions) =>
    both(logits, noise).pipe(Effect.flatMap(([a, b]) => Tensor.sample(a, b, options)))
  assert.equal(evaluate(draw({ temperature: 1, topK: 1 })).values[0], 1)
  const refused: ReadonlyArray<Tensor.SampleOptions> = [
    { temperature: 0 },
    { temperature: 1, topK: 1.5 },
    { temperature: 1, topP: 0 },
    { temperature: 1, minP: 1.1 },
  ]
  for (const options of refused) assert.equal(failure(draw(options))._tag, "InvalidArgument")
})

test("operations refuse wrong axes and dtypes before anything runs", () => {
  const ids = Tensor.constant("u32", "tokens", { tokens: 2 }, Uint32Array.of(0, 1))
  // What is tested is that these do not type-check: `deno check` also fails at a directive that expects an
  // error where there is none. Nothing is silenced, and nothing of it runs.
  const unchecked = () => [
    // @ts-expect-error: the axes of w are not those of x
    both(x, w).pipe(Effect.flatMap(([a, b]) => Tensor.add(a, b))),
    // @ts-expect-error: "tokens" is not the axis that x ends with
    both(x, ids).pipe(Effect.flatMap(([a, b]) => Tensor.linear(a, b))),
    // @ts-expect-error: ids are not activations
    ids.pipe(Effect.flatMap((a) => Tensor.silu(a))),
    // @ts-expect-error: only f32 is made into f16
    ids.pipe(Effect.flatMap((a) => Tensor.cast(a, "f16"))),
    // @ts-expect-error: x has no axis "heads"
    x.pipe(Effect.flatMap((a) => Tensor.slice(a, "heads", 0, 1))),
    // @ts-expect-error: x has no axis "heads"
    x.pipe(Effect.flatMap((a) => Tensor.permute(a, "model heads"))),
  ]
  assert.equal(typeof unchecked, "function")
})
