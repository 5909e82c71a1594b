/** Weights in parts and tiles give what they give in one piece. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { Effect } from "effect"
import fc from "fast-check"
import { type Weight, weights } from "../../kernels/decode.ts"
import { isTileable, tile } from "../../kernels/tile.ts"
import * as DTypes from "../../lib/tensor/DType.ts"
import { type Matrix, type Piece, pieces, type Wishes } from "../../lib/tensor/Matrix.ts"
import * as Tensor from "../../lib/tensor/Tensor.ts"
import { floats, integers, seed, stored, upTo } from "../kernels/values.ts"
import { evaluate, record } from "./evaluate.ts"

const cases = fc.record({
  dtype: fc.constantFrom(...weights),
  rows: upTo(5),
  n: upTo(100),
  blocks: upTo(3),
  wishes: fc.record<Wishes>({
    weights: fc.constantFrom("stored", "tiled"),
    maxBufferBytes: fc.integer({ min: 1, max: 20_000 }),
  }),
  seed,
})

/** The elements of a piece. */
const dataOf = (
  { dtype: form, first, rows }: Piece,
  dtype: Weight,
  weight: DTypes.ArrayOf[Weight],
  k: number,
): DTypes.ArrayOf[Piece["dtype"]] => {
  const element = (row: number) => DTypes.bytes(dtype, row * k) / weight.BYTES_PER_ELEMENT
  const part = weight.subarray(element(first), element(first + rows))
  return form === dtype || !isTileable(dtype) ? part : tile(dtype, part, rows, k)
}

/** A weight cut as a device wishes. */
const cut = (
  dtype: Weight,
  weight: DTypes.ArrayOf[Weight],
  n: number,
  k: number,
  wishes: Wishes,
) =>
  Effect.map(
    Effect.forEach(
      pieces(dtype, n, k, wishes),
      (piece) => {
        const sizes = { out: piece.rows, in: k }
        return Tensor.constant(piece.dtype, "out in", sizes, dataOf(piece, dtype, weight, k))
      },
    ),
    (parts): Matrix<"out in"> => ({ axes: "out in", shape: [n, k], parts }),
  )

test("pieces hold all rows in order, as many as a buffer holds, whole tiles first", () => {
  fc.assert(fc.property(cases, ({ dtype, n, blocks, wishes, seed }) => {
    const k = Math.max(32, DTypes.formats[dtype].elements) * blocks
    const weight = stored(dtype, seed, n * k) as DTypes.ArrayOf[Weight]
    const all = pieces(dtype, n, k, wishes)
    assert.equal(all.reduce((sum, { rows }) => sum + rows, 0), n)
    const tiled = all.filter((piece) => piece.dtype !== dtype)
    const rows = wishes.weights === "tiled" && isTileable(dtype) ? n - n % 32 : 0
    assert.equal(tiled.reduce((sum, piece) => sum + piece.rows, 0), rows)
    assert.deepEqual(all.slice(0, tiled.length), tiled)
    for (const piece of all) {
      const bytes = dataOf(piece, dtype, weight, k).byteLength
      assert.equal(bytes, DTypes.bytes(piece.dtype, piece.rows * k))
      const least = piece.dtype === dtype ? 1 : 32 // a row, or a row of tiles
      assert.ok(bytes <= wishes.maxBufferBytes || piece.rows === least)
    }
  }))
})

test("linear, linearAdd, gated and embed of parts and tiles have the bits of the whole", () => {
  fc.assert(fc.property(cases, ({ dtype, rows, n, blocks, wishes, seed }) => {
    const k = Math.max(32, DTypes.formats[dtype].elements) * blocks
    const weight = stored(dtype, seed, n * k) as DTypes.ArrayOf[Weight]
    const both = [
      cut(dtype, weight, n, k, wishes),
      Tensor.constant(dtype, "out in", { out: n, in: k }, weight),
    ]
    const x = Tensor.constant("f32", "tokens in", { tokens: rows, in: k }, floats(seed, rows * k))
    const y = Tensor.constant("f32", "tokens out", { tokens: rows, out: n }, floats(1, rows * n))
    const ids = Tensor.constant("u32", "tokens", { tokens: rows }, integers(seed, rows, n))
    const values = both.map((w) => [
      ...evaluate(Effect.flatMap(Effect.all([x, w]), ([x, w]) => Tensor.linear(x, w))).values,
      ...evaluate(
        Effect.flatMap(Effect.all([x, w, y]), ([x, w, y]) => Tensor.linearAdd(x, w, y)),
      ).values,
      ...(["silu", "gelu"] as const).flatMap((activation) => [
        ...evaluate(
          Effect.flatMap(Effect.all([x, w]), ([x, w]) => Tensor.gated(x, w, w, activation)),
        ).values,
      ]),
      ...evaluate(Effect.flatMap(Effect.all([ids, w]), ([i, w]) => Tensor.embed(i, w))).values
        .map((value) => value + 0), // a zero loses its sign where parts are added
    ])
    assert.deepEqual(values[0], values[1])
  }))
})

test("linearAdd and gated are one launch of tiles and one row of x", () => {
  const weight = stored("q4_1", 1, 64 * 32) as Uint8Array
  const launches = (weights: Wishes["weights"]) => {
    const wishes = { weights, maxBufferBytes: 2 ** 20 }
    const [piece] = pieces("q4_1", 64, 32, wishes)
    const w = Tensor.constant(
      piece!.dtype,
      "out in",
      { out: 64, in: 32 },
      dataOf(piece!, "q4_1", weight, 32),
    )
    const x = Tensor.constant("f32", "tokens in", { tokens: 1, in: 32 }, floats(1, 32))
    const y = Tensor.constant("f32", "tokens out", { tokens: 1, out: 64 }, floats(1, 64))
    return record(Effect.flatMap(Effect.all([x, w, y]), ([x, w, y]) =>
      Effect.all([
        Tensor.linearAdd(x, w, y),
        Tensor.gated(x, w, w, "silu"),
        Tensor.gated(x, w, w, "gelu"),
      ]))).open.work.length
  }
  assert.deepEqual([launches("tiled"), launches("stored")], [3, 10])
})
