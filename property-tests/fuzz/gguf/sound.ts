/** Whether a description is of a sound file, by the format's rules and the reader's limits, and what it says. @module */
import {
  bytesOf,
  type Data,
  type Described,
  type Entry,
  forms,
  ranges,
  type Row,
} from "./describe.ts"
import { types } from "../../model/writer.ts"
import type { Written } from "./write.ts"

const names = new Map<number, string>(Object.entries(types).map(([name, type]) => [type, name]))
const unique = (list: ReadonlyArray<string>): boolean => new Set(list).size === list.length

const isEntry = ({ type, of, data }: Entry): boolean => {
  if (!names.has(type)) return false
  if (type !== types.array) return type !== types.bool || data === false || data === true
  return names.has(of) && of !== types.array &&
    (of !== types.bool || (data as ReadonlyArray<Data>).every((one) => typeof one === "boolean")) // an array's are a list
}

/** What the data are aligned to as the file says; undefined where it says what cannot be. */
const alignmentOf = ({ entries }: Described): bigint | undefined => {
  const entry = entries.find(({ key }) => key === "general.alignment")
  if (entry === undefined) return 32n
  const number = ranges.has(entry.type) || entry.type === types.f32 || entry.type === types.f64
  const { data } = entry
  if (!number || (typeof data !== "bigint" && !Number.isInteger(data))) return undefined
  const whole = BigInt(data as bigint) // or a whole number, as was just asked
  return whole >= 1n && whole <= 2n ** 31n && (whole & (whole - 1n)) === 0n ? whole : undefined
}

const isRow = (row: Row, alignment: bigint): boolean => {
  const [, elements] = forms.get(row.type) ?? []
  return elements !== undefined && row.sizes.length >= 1 && row.sizes.length <= 4 &&
    row.sizes.every((size) => size > 0n) && row.sizes[0]! % BigInt(elements) === 0n &&
    row.offset % alignment === 0n
}

/** Whether a reader must take what was written, of `size` bytes by now. */
export const isSound = (self: Described, { head }: Written, size: number): boolean => {
  const { version, entries, rows } = self
  const alignment = alignmentOf(self)
  if (version !== 3 || alignment === undefined || size < head) return false
  if (!entries.every(isEntry) || !rows.every((row) => isRow(row, alignment))) return false
  if (!unique(entries.map(({ key }) => key)) || !unique(rows.map(({ name }) => name))) return false
  let end = (BigInt(head) + alignment - 1n) / alignment * alignment
  const start = end
  for (const row of [...rows].sort((a, b) => a.offset < b.offset ? -1 : 1)) {
    if (start + row.offset < end) return false
    end = start + row.offset + bytesOf(row)
    if (end > BigInt(size)) return false
  }
  return true
}

/** A value as it reads: 64 bits as a number where that is exact. */
const plain = (type: number, data: Data): unknown => {
  if (Array.isArray(data)) return data.map((one) => plain(type, one))
  if (type === types.u64 || type === types.i64) {
    const whole = BigInt(data as bigint) // all values of these types are
    return Number.isSafeInteger(Number(whole)) ? Number(whole) : whole
  }
  if (type === types.f32) return Math.fround(Number(data))
  return typeof data === "bigint" ? Number(data) : data
}

/** Everything a sound file says, in the form of `said`. */
export const expected = (self: Described, { head }: Written): unknown => {
  const alignment = Number(alignmentOf(self))
  const start = Math.ceil(head / alignment) * alignment
  return {
    entries: self.entries.map(({ key, type, of, data }) =>
      type === types.array
        ? [key, `${names.get(of)}[]`, plain(of, data)]
        : [key, names.get(type), plain(type, data)]
    ),
    tensors: self.rows.map((row) => [
      row.name,
      forms.get(row.type)![0],
      row.sizes.map(Number).reverse(),
      start + Number(row.offset),
      Number(bytesOf(row)),
    ]),
  }
}
