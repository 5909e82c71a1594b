/**
 * Metadata: the keys and values a file has beside its tensors, and how they are read.
 *
 * @module
 */
import { Result } from "effect"
import type { BadModelFile } from "../../errors.ts"
import {
  bad,
  count,
  type Cursor,
  type More,
  quote,
  soundString,
  string,
  take,
  u32,
} from "./bytes.ts"

/** Types in the order of their numbers in the file. */
export const types = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  "array",
  "u64",
  "i64",
  "f64",
] as const

/** One of them; `array` holds one of the others. */
export type Type = typeof types[number]
type Fixed = Exclude<Type, "string" | "array">

/** Numbers as the file has them. */
export type Numbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array

/** What a value is in JavaScript: a 64-bit integer past ±(2^53 − 1) stays a `bigint`, a `bool[]` its bytes, 0 and 1. */
export type Data =
  | number
  | bigint
  | boolean
  | string
  | Numbers
  | ReadonlyArray<string>

/** The type of a value in the file: `u32`, or `u32[]` for an array of them. */
export type ValueType = Exclude<Type, "array"> | `${Exclude<Type, "array">}[]`

/** One metadata value. */
export interface Value {
  /** Its type in the file. */
  readonly type: ValueType
  /** The byte of the file where it begins. */
  readonly offset: number
  /** The value. */
  readonly data: Data
}

/** The metadata of a file. */
export interface Metadata {
  /** The file's name, for errors. */
  readonly file: string
  /** The entries by key. */
  readonly metadata: ReadonlyMap<string, Value>
}

/** Bytes of one element, and the view of many: every platform JavaScript runs on is little-endian. */
const fixed: {
  readonly [T in Fixed]: { readonly bytes: number; readonly view: (data: ArrayBuffer) => Numbers }
} = {
  u8: { bytes: 1, view: (data) => new Uint8Array(data) },
  i8: { bytes: 1, view: (data) => new Int8Array(data) },
  u16: { bytes: 2, view: (data) => new Uint16Array(data) },
  i16: { bytes: 2, view: (data) => new Int16Array(data) },
  u32: { bytes: 4, view: (data) => new Uint32Array(data) },
  i32: { bytes: 4, view: (data) => new Int32Array(data) },
  f32: { bytes: 4, view: (data) => new Float32Array(data) },
  // An array of booleans would take eight times the file.
  bool: { bytes: 1, view: (data) => new Uint8Array(data) },
  u64: { bytes: 8, view: (data) => new BigUint64Array(data) },
  i64: { bytes: 8, view: (data) => new BigInt64Array(data) },
  f64: { bytes: 8, view: (data) => new Float64Array(data) },
}

/** What reading gives. */
export type Read<A> = Result.Result<A, BadModelFile | More>

const type = (self: Cursor, what: string): Read<Type> =>
  Result.flatMap(u32(self, `the type of ${what}`), (id) => {
    const name = types[id]
    return name === undefined
      ? bad(self, `${what} is of the unknown value type ${id}`, self.at - 4)
      : Result.succeed(name)
  })

const fixedArray = (self: Cursor, of: Fixed, length: number, what: string): Read<Numbers> => {
  const { bytes, view } = fixed[of]
  return Result.flatMap(take(self, length * bytes, what), (at) => {
    const data = new Uint8Array(self.bytes.subarray(at, self.at)) // a copy, so that it is aligned
    const wrong = of === "bool" ? data.findIndex((byte) => byte > 1) : -1
    return wrong < 0
      ? Result.succeed(view(data.buffer))
      : bad(self, `${what} has a bool of ${data[wrong]}: 0 or 1 is needed`, at + wrong)
  })
}

const strings = (self: Cursor, length: number, what: string): Read<ReadonlyArray<string>> => {
  const out: Array<string> = []
  for (let i = 0; i < length; i++) {
    const sound = soundString(self)
    if (sound !== undefined) {
      out.push(sound)
      continue
    }
    const next = string(self, what)
    if (Result.isFailure(next)) return Result.fail(next.failure)
    out.push(next.success)
  }
  return Result.succeed(out)
}

/** A 64-bit integer as a number where that is exact; anything else as it is. */
export const narrow = <A>(value: A): A | number =>
  typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value

const value = (self: Cursor, key: string): Read<Value> =>
  Result.gen(function* () {
    const what = quote(key)
    const of = yield* type(self, what)
    const offset = self.at
    if (of === "string") return { type: of, offset, data: yield* string(self, what) }
    if (of !== "array") {
      const [data] = yield* fixedArray(self, of, 1, what)
      return { type: of, offset, data: of === "bool" ? data === 1 : narrow(data!) }
    }
    const element = yield* type(self, `the elements of ${what}`)
    if (element === "array") {
      return yield* bad(self, `${what} is an array of arrays: only flat ones are read`, self.at - 4)
    }
    const least = element === "string" ? 8 : fixed[element].bytes
    const length = yield* count(self, "arrayElements", least, `elements of ${what}`)
    const data: Data = element === "string"
      ? yield* strings(self, length, `an element of ${what}`)
      : yield* fixedArray(self, element, length, what)
    return { type: `${element}[]` as const, offset, data }
  })

/** The least entry: the length of an empty key, a type and one byte. */
export const leastEntry = 13

/** Reads `length` entries. */
export const entries = (
  self: Cursor,
  length: number,
): Read<ReadonlyMap<string, Value>> =>
  Result.gen(function* () {
    const out = new Map<string, Value>()
    for (let i = 0; i < length; i++) {
      const offset = self.at
      const key = yield* string(self, `metadata key ${i}`)
      if (out.has(key)) return yield* bad(self, `the key ${quote(key)} is there twice`, offset)
      out.set(key, yield* value(self, key))
    }
    return out
  })
