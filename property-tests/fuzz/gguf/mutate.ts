/** Ways to spoil a described GGUF file: of some the description stays true, others lie. @module */
import { damaged, hostileWhole, texts } from "../hostile.ts"
import type { Random } from "../random.ts"
import { types, u64 } from "../../model/writer.ts"
import {
  anyEntry,
  bytesOf,
  type Data,
  type Described,
  type Entry,
  type Row,
  scalar,
} from "./describe.ts"
import type { Written } from "./write.ts"

type OfRow = (random: Random, row: Row, all: Described) => void
type OfEntry = (random: Random, entry: Entry, all: Described) => void

const setAlignment = (all: Described, type: number, data: Data): void => {
  all.entries = all.entries.filter(({ key }) => key !== "general.alignment")
  all.entries.push({ key: "general.alignment", type, of: type, data })
}

const ofRow: Readonly<Record<string, OfRow>> = {
  "a size": (random, { sizes }) => {
    sizes[random.below(sizes.length)] = hostileWhole(random)
  },
  "an axis of 0": (random, { sizes }) => {
    sizes[random.below(sizes.length)] = 0n
  },
  "sizes whose product wraps": (random, row) => {
    row.sizes = random.pick([
      [2n ** 63n, 2n],
      [2n ** 32n, 2n ** 32n],
      [2n ** 62n + 32n, 4n],
      [256n, 2n ** 56n],
      [2n ** 53n + 256n, 2n ** 11n],
      [0n, 2n ** 63n],
    ])
  },
  "more axes": (random, row) => {
    row.sizes.push(...Array.from({ length: 1 + random.below(6) }, () => 1n))
  },
  "no axes": (_, row) => {
    row.sizes = []
  },
  "another type": (random, row) => {
    row.type = random.oneIn(2) ? random.below(45) : random.pick([0, 1, 8, 30])
  },
  "an unknown type": (random, row) => {
    row.type = random.pick([4, 5, 31, 36, 40, 255, 2 ** 31, 2 ** 32 - 1])
  },
  "an offset": (random, row) => {
    row.offset = hostileWhole(random)
  },
  "an offset a little off": (random, row) => {
    row.offset = BigInt.asUintN(64, row.offset + BigInt(random.pick([-32, -1, 1, 8, 16, 32, 64])))
  },
  "the offset of another": (random, row, { rows }) => {
    row.offset = random.pick(rows).offset
  },
  "an overlap of one byte": (random, row, all) => {
    const other = random.pick(all.rows)
    row.offset = BigInt.asUintN(64, other.offset + bytesOf(other) - 1n)
    setAlignment(all, types.u32, 1n) // else a row is off its alignment
  },
  "the name of another": (random, row, { rows }) => {
    row.name = random.pick(rows).name
  },
  "another name": (random, row) => {
    row.name = random.pick(texts)
  },
  "a row twice": (_, row, { rows }) => {
    rows.push({ ...row, sizes: [...row.sizes] })
  },
  "no row": (_, row, all) => {
    all.rows = all.rows.filter((one) => one !== row)
  },
}

const ofEntry: Readonly<Record<string, OfEntry>> = {
  "the key of another": (random, entry, { entries }) => {
    entry.key = random.pick(entries).key
  },
  "another key": (random, entry) => {
    entry.key = random.pick([...texts, "general.alignment", "version", "general.architecture"])
  },
  "another value": (random, entry) => {
    if (entry.type !== types.array) entry.data = scalar(random, entry.type)
  },
  "an entry of another type": (random, entry) => {
    Object.assign(entry, anyEntry(random, entry.key))
  },
  "an unknown value type": (random, entry) => {
    entry.type = random.pick([13, 14, 255, 2 ** 31, 2 ** 32 - 1])
    entry.data = 0
  },
  "an array of arrays": (random, entry) => {
    const inner = random.pick<Data>([[], [1], [[1]], [[[[[[1]]]]]]])
    Object.assign(entry, { type: types.array, of: types.array, data: [inner] })
  },
  "a bool that is none": (random, entry) => {
    const data = random.pick([2, 255])
    Object.assign(
      entry,
      random.oneIn(2)
        ? { type: types.bool, of: types.bool, data }
        : { type: types.array, of: types.bool, data: [true, data] },
    )
  },
  "an alignment": (random, _, all) => {
    const type = random.pick([types.u32, types.u64, types.u8, types.i32])
    const data = random.pick([0n, 1n, 2n, 3n, 16n, 31n, 64n, 100n, 2n ** 31n])
    const signed = type === types.i32 ? BigInt.asIntN(32, data) : data
    setAlignment(all, type, type === types.u8 ? data % 256n : signed)
  },
  "a huge alignment": (random, _, all) => {
    setAlignment(all, types.u64, hostileWhole(random))
  },
  "an alignment of another kind": (random, _, all) => {
    const [type, data] = random.pick([
      [types.string, "32"],
      [types.f32, 32],
      [types.f32, 0.5],
      [types.f32, NaN],
      [types.bool, true],
      [types.i32, -32n],
    ])
    setAlignment(all, type, data)
  },
}

const ofAll: Readonly<Record<string, (random: Random, all: Described) => void>> = {
  "another version": (random, all) => {
    all.version = random.pick([0, 1, 2, 4, 255, 0x03000000, 2 ** 31, 2 ** 32 - 1])
  },
  "fewer bytes of data": (random, all) => {
    all.data = Math.max(0, all.data - 1 - random.below(40))
  },
  "more bytes of data": (random, all) => {
    all.data += 1 + random.below(100)
  },
}

/** Spoils a description, which then says what is written; gives the name of how. */
export const spoil = (random: Random, all: Described): string => {
  const table = random.below(8)
  if (table < 4 && all.rows.length > 0) {
    const name = random.pick(Object.keys(ofRow))
    return ofRow[name]!(random, random.pick(all.rows), all), name
  }
  if (table < 7 && all.entries.length > 0) {
    const name = random.pick(Object.keys(ofEntry))
    return ofEntry[name]!(random, random.pick(all.entries), all), name
  }
  const name = random.pick(Object.keys(ofAll))
  return ofAll[name]!(random, all), name
}

const put = (bytes: Uint8Array, at: number, width: number, whole: bigint): void => {
  bytes.set(u64(whole).slice(0, width), at)
}

/** Spoils bytes, which then no description says; gives them, and the name of how. */
export const lie = (
  random: Random,
  { fields }: Written,
  bytes: Uint8Array,
): readonly [bytes: Uint8Array<ArrayBuffer>, how: string] => {
  const field = random.pick(fields)
  const { name, at, bytes: width } = field
  const out = Uint8Array.from(bytes)
  if (at + width > out.length || random.oneIn(4)) return [damaged(random, bytes), "bytes"]
  switch (random.below(4)) {
    case 0:
      put(out, at, width, hostileWhole(random))
      return [out, `${name}: any`]
    case 1: {
      const view = new DataView(out.buffer)
      const old = width === 4 ? BigInt(view.getUint32(at, true)) : view.getBigUint64(at, true)
      put(out, at, width, BigInt.asUintN(64, old + BigInt(random.pick([-8, -1, 1, 2, 8]))))
      return [out, `${name}: a little off`]
    }
    case 2: // before, inside or behind a field
      return [out.slice(0, at + random.pick([0, 1, width - 1, width])), `cut at ${name}`]
    default:
      out[at + random.below(width)]! ^= 1 << random.below(8)
      return [out, `${name}: a bit`]
  }
}

/** Texts that are not UTF-8, put where a text stands. */
export const brokenText = (
  random: Random,
  { fields }: Written,
  bytes: Uint8Array,
): readonly [bytes: Uint8Array<ArrayBuffer>, how: string] => {
  const out = Uint8Array.from(bytes)
  const long = fields.filter(({ name }) => /key|value|name|element of/.test(name))
  if (long.length > 0) {
    const { at } = random.pick(long)
    const broken = random.pick([[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xc0, 0x80], [0xf5]])
    broken.forEach((byte, i) => at + 8 + i < out.length && (out[at + 8 + i] = byte))
  }
  return [out, "no UTF-8"]
}
