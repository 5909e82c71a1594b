/** Writes described GGUF files, and says where each of their fields is. @module */
import { f32, f64, type Part, string, types, u32, u64, u8 } from "../../model/writer.ts"
import { type Data, type Described, ranges } from "./describe.ts"

/** A number of the file that says how much there is, or where, or of which kind. */
export interface Field {
  readonly name: string
  readonly at: number
  readonly bytes: 4 | 8
}

/** A file, and its fields. */
export interface Written {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly fields: ReadonlyArray<Field>
  /** Bytes before what aligns the data. */
  readonly head: number
}

const isList = (data: Data): data is ReadonlyArray<Data> => Array.isArray(data)

const scalar = (type: number, data: Data): Part => {
  const range = ranges.get(type)
  if (range !== undefined) {
    const width = (range[1] - range[0]).toString(2).length / 8
    return u64(
      BigInt.asUintN(64, typeof data === "bigint" ? data : BigInt(Math.trunc(Number(data)) || 0)),
    )
      .slice(0, width)
  }
  switch (type) {
    case types.f32:
      return f32(Number(data))
    case types.f64:
      return f64(Number(data))
    case types.bool:
      return u8(typeof data === "number" ? data : Number(Boolean(data)))
    default:
      return string(String(data))
  }
}

/** Writes a file. What is described wrongly is written as it is described. */
export const write = (
  { version, entries, rows, alignment, data }: Described,
): Written => {
  const out: Array<number> = []
  const fields: Array<Field> = []
  const raw = (part: Part) => out.push(...part)
  const field = (name: string, part: Part) => {
    fields.push({ name, at: out.length, bytes: part.length === 4 ? 4 : 8 })
    raw(part)
  }
  const text = (name: string, value: string) => {
    const part = string(value)
    field(`length of ${name}`, part.slice(0, 8))
    raw(part.slice(8))
  }
  field("magic", [0x47, 0x47, 0x55, 0x46])
  field("version", u32(version))
  field("tensors", u64(rows.length))
  field("entries", u64(entries.length))
  const elements = (name: string, of: number, list: ReadonlyArray<Data>): void => {
    field(`element type of ${name}`, u32(of))
    field(`elements of ${name}`, u64(list.length))
    for (const one of list) {
      if (isList(one)) elements(name, one.some(isList) ? types.array : types.u8, one)
      else if (of === types.string) text(`element of ${name}`, String(one))
      else raw(scalar(of, one))
    }
  }
  for (const { key, type, of, data } of entries) {
    text("key", key)
    field("type", u32(type))
    if (isList(data)) elements("array", of, data)
    else if (type === types.string) text("value", String(data))
    else raw(scalar(type, data))
  }
  for (const { name, sizes, type, offset } of rows) {
    text("name", name)
    field("axes", u32(sizes.length))
    for (const size of sizes) field("size", u64(BigInt.asUintN(64, size)))
    field("tensor type", u32(type))
    field("offset", u64(BigInt.asUintN(64, offset)))
  }
  const bytes = new Uint8Array(Math.ceil(out.length / alignment) * alignment + data)
  bytes.set(out)
  return { bytes, fields, head: out.length }
}
