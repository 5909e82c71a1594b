/**
 * The tensor table: what is stored where, checked against the file before anything is read.
 *
 * @module
 */
import { Result } from "effect"
import { UnsupportedModel } from "../../errors.ts"
import { type DType, formats } from "../../tensor/DType.ts"
import { bad, type Cursor, quote, type Stop, string, take, u32, u64 } from "./bytes.ts"
import { limits } from "./limits.ts"

/** A tensor of a file. */
export interface TensorInfo {
  /** Its name, unique in the file. */
  readonly name: string
  /** How its elements are stored. */
  readonly dtype: DType
  /** Sizes of its axes, outermost first: a matrix is `[rows, columns]`. */
  readonly shape: ReadonlyArray<number>
  /** The byte of the file where its data begin. */
  readonly offset: number
  /** Bytes of its data. */
  readonly bytes: number
}

/** A row of the table as the file has it. */
interface Row {
  readonly name: string
  /** Sizes, innermost first. */
  readonly sizes: ReadonlyArray<bigint>
  readonly type: number
  /** From the beginning of the data. */
  readonly offset: bigint
  /** The byte of the file where the row begins. */
  readonly at: number
}

/** The least row: the length of an empty name, one size, its count, type and offset. */
export const leastRow = 32

const dtypes: { readonly [type: number]: DType } = {
  0: "f32",
  1: "f16",
  2: "q4_0",
  3: "q4_1",
  6: "q5_0",
  8: "q8_0",
  12: "q4_K",
  14: "q6_K",
  30: "bf16",
}

// deno-fmt-ignore
const unsupported: { readonly [type: number]: string } = {
  7: "Q5_1", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 13: "Q5_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
  22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M",
  34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}

const row = (self: Cursor, index: number): Result.Result<Row, Stop> =>
  Result.gen(function* () {
    const at = self.at
    const name = yield* string(self, `the name of tensor ${index}`)
    const what = `tensor ${quote(name)}`
    const rank = yield* u32(self, `the number of axes of ${what}`)
    if (rank < 1 || rank > limits.dimensions) {
      const need = `1 to limits.dimensions, ${limits.dimensions}, are read`
      return yield* bad(self, `${what} has ${rank} axes: ${need}`, self.at - 4)
    }
    const first = yield* take(self, 8 * rank, `the sizes of ${what}`)
    const sizes = Array.from(
      { length: rank },
      (_, axis) => self.view.getBigUint64(first + 8 * axis, true),
    )
    const type = yield* u32(self, `the type of ${what}`)
    return { name, sizes, type, offset: yield* u64(self, `the offset of ${what}`), at }
  })

/** Reads `length` rows, whose data are still unchecked. */
export const rows = (self: Cursor, length: number): Result.Result<ReadonlyArray<Row>, Stop> =>
  Result.gen(function* () {
    const out = new Map<string, Row>()
    for (let i = 0; i < length; i++) {
      const next = yield* row(self, i)
      if (out.has(next.name)) {
        return yield* bad(self, `the tensor ${quote(next.name)} is there twice`, next.at)
      }
      out.set(next.name, next)
    }
    return [...out.values()]
  })

/** Checks one row against the file: `start` is where the data begin, a multiple of `alignment`. */
const place = (
  self: Cursor,
  { name, sizes, type, offset, at }: Row,
  start: number,
  alignment: number,
): Result.Result<TensorInfo, Stop> => {
  const what = `tensor ${quote(name)}`
  const dtype = dtypes[type]
  if (dtype === undefined) {
    const known = unsupported[type]
    return Result.fail(
      new UnsupportedModel({
        what: `${what} type`,
        value: known === undefined ? `${type}` : `${known} (${type})`,
        supported: "F32, F16, BF16, Q8_0, Q6_K, Q5_0, Q4_K, Q4_1 or Q4_0",
      }),
    )
  }
  const format = formats[dtype]
  const columns = sizes[0]!
  const elements = sizes.reduce((product, size) => product * size, 1n)
  if (elements === 0n) return bad(self, `${what} has an axis of size 0`, at)
  if (columns % BigInt(format.elements) !== 0n) {
    const need = `${dtype} needs a multiple of ${format.elements}`
    return bad(self, `${what} has rows of ${columns} elements: ${need}`, at)
  }
  const bytes = elements / BigInt(format.elements) * BigInt(format.bytes)
  if (offset % BigInt(alignment) !== 0n) {
    return bad(self, `${what} is at offset ${offset}: a multiple of ${alignment} is needed`, at)
  }
  const end = BigInt(start) + offset + bytes
  if (end > self.size) {
    return bad(self, `${what} ends at byte ${end}: the file has ${self.size}`, at)
  }
  return Result.succeed({
    name,
    dtype,
    shape: sizes.map(Number).reverse(),
    offset: start + Number(offset),
    bytes: Number(bytes),
  })
}

/** Checks every row, and that no two share a byte. */
export const resolve = (
  self: Cursor,
  rows: ReadonlyArray<Row>,
  start: number,
  alignment: number,
): Result.Result<ReadonlyMap<string, TensorInfo>, Stop> =>
  Result.gen(function* () {
    const out = new Map<string, TensorInfo>()
    for (const row of rows) out.set(row.name, yield* place(self, row, start, alignment))
    let end = start
    let last = ""
    for (const info of [...out.values()].sort((a, b) => a.offset - b.offset)) {
      if (info.offset < end) {
        const reason = `tensor ${quote(info.name)} overlaps tensor ${quote(last)}`
        return yield* bad(self, reason, info.offset)
      }
      end = info.offset + info.bytes
      last = info.name
    }
    return out
  })
