/**
 * Writes GGUF files by hand, sound or not: parts are lists of bytes, in the order of the file.
 *
 * @module
 */

/** Bytes of a part. */
export type Part = ReadonlyArray<number>

const numeral = (bytes: number, set: (view: DataView) => void): Part => {
  const out = new Uint8Array(bytes)
  set(new DataView(out.buffer))
  return [...out]
}

/** One byte. */
export const u8 = (value: number): Part => [value]
/** A little-endian u32. */
export const u32 = (value: number): Part => numeral(4, (v) => v.setUint32(0, value, true))
/** A little-endian u64. */
export const u64 = (value: number | bigint): Part =>
  numeral(8, (v) => v.setBigUint64(0, BigInt(value), true))
/** A little-endian f32. */
export const f32 = (value: number): Part => numeral(4, (v) => v.setFloat32(0, value, true))
/** A little-endian f64. */
export const f64 = (value: number): Part => numeral(8, (v) => v.setFloat64(0, value, true))
/** A string. */
export const string = (text: string): Part => {
  const bytes = new TextEncoder().encode(text)
  return [...u64(bytes.length), ...bytes]
}

/** The numbers of value types. */
export const types = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const

/** Magic, version and counts. */
export const header = (tensors: number | bigint, entries: number | bigint, version = 3): Part => [
  ...new TextEncoder().encode("GGUF"),
  ...u32(version),
  ...u64(tensors),
  ...u64(entries),
]

/** A metadata entry. */
export const entry = (key: string, type: number, ...value: ReadonlyArray<Part>): Part => [
  ...string(key),
  ...u32(type),
  ...value.flat(),
]

/** An array's value. */
export const array = (type: number, ...elements: ReadonlyArray<Part>): Part => [
  ...u32(type),
  ...u64(elements.length),
  ...elements.flat(),
]

/** A row of the tensor table; `sizes` innermost first. */
export const tensor = (
  name: string,
  sizes: ReadonlyArray<number | bigint>,
  type: number,
  offset: number | bigint,
): Part => [
  ...string(name),
  ...u32(sizes.length),
  ...sizes.flatMap(u64),
  ...u32(type),
  ...u64(offset),
]

/** Joins parts, pads to `alignment`, and adds `data` zero bytes. */
export const file = (
  parts: ReadonlyArray<Part>,
  data = 0,
  alignment = 32,
): Uint8Array<ArrayBuffer> => {
  const head = parts.flat()
  const out = new Uint8Array(Math.ceil(head.length / alignment) * alignment + data)
  out.set(head)
  return out
}

const t = types
/** One entry of every type, three tensors that touch, in the order their data do not have. */
export const sound: ReadonlyArray<Part> = [
  header(3, 18),
  entry("u8", t.u8, u8(200)),
  entry("i8", t.i8, u8(200)),
  entry("u16", t.u16, [1, 255]),
  entry("i16", t.i16, [1, 255]),
  entry("u32", t.u32, u32(0xffffffff)),
  entry("i32", t.i32, u32(0xffffffff)),
  entry("f32", t.f32, f32(0.5)),
  entry("bool", t.bool, u8(1)),
  entry("string", t.string, string("naïve 🙂")),
  entry("u64", t.u64, u64(2n ** 53n - 1n)),
  entry("big", t.u64, u64(2n ** 53n)),
  entry("i64", t.i64, u64(2n ** 64n - 7n)),
  entry("f64", t.f64, f64(Math.PI)),
  entry("i32s", t.array, array(t.i32, u32(1), u32(0xffffffff))),
  entry("bools", t.array, array(t.bool, u8(1), u8(0))),
  entry("strings", t.array, array(t.string, string("a"), string(""), string("\ufeffb"))),
  entry("u64s", t.array, array(t.u64, u64(1), u64(2))),
  entry("general.alignment", t.u32, u32(64)),
  tensor("matrix", [32, 2], 8, 64),
  tensor("vector", [7], 0, 0),
  tensor("last", [1, 1, 1, 1], 30, 192),
]
/** The file of `sound`. */
export const soundFile: Uint8Array<ArrayBuffer> = file(sound, 194, 64)
