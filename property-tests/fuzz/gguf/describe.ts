/** A GGUF file as a description: what a writer is told, sound or not, and what a reader must give back. @module */
import { anyText } from "../hostile.ts"
import type { Random } from "../random.ts"
import { formats } from "../../../lib/tensor/DType.ts"
import { types } from "../../model/writer.ts"

/** A value of one type; of an array, its elements in turn. */
export type Data = number | bigint | boolean | string | ReadonlyArray<Data>

/** A metadata entry. */
export interface Entry {
  key: string
  /** A number of `types`, or an unknown one. */
  type: number
  /** Of an array's elements. */
  of: number
  data: Data
}

/** A row of the tensor table. */
export interface Row {
  name: string
  /** Innermost first. */
  sizes: Array<bigint>
  type: number
  offset: bigint
}

/** A file. */
export interface Described {
  version: number
  entries: Array<Entry>
  rows: Array<Row>
  /** What the data are aligned to where they begin. */
  alignment: number
  /** Bytes of tensor data. */
  data: number
}

/** The forms of weights by their numbers: names, elements and bytes of a block. */
export const forms: ReadonlyMap<number, readonly [keyof typeof formats, number, number]> = new Map(
  ([
    [0, "f32"],
    [1, "f16"],
    [2, "q4_0"],
    [3, "q4_1"],
    [6, "q5_0"],
    [8, "q8_0"],
    [12, "q4_K"],
    [14, "q6_K"],
    [30, "bf16"],
  ] as const).map(([type, name]) => [type, [name, formats[name].elements, formats[name].bytes]]),
)

/** Whole numbers that a type holds; undefined of other types. */
export const ranges: ReadonlyMap<number, readonly [min: bigint, max: bigint]> = new Map(
  ([
    [types.u8, 8, false],
    [types.i8, 8, true],
    [types.u16, 16, false],
    [types.i16, 16, true],
    [
      types.u32,
      32,
      false,
    ],
    [types.i32, 32, true],
    [types.u64, 64, false],
    [types.i64, 64, true],
  ] as const).map(
    ([type, width, signed]) => {
      const half = 2n ** BigInt(width - 1)
      return [type, signed ? [-half, half - 1n] : [0n, 2n * half - 1n]]
    },
  ),
)

/** Some value of a type that is no array. */
export const scalar = (random: Random, type: number): Data => {
  const range = ranges.get(type)
  if (range !== undefined) {
    const [min, max] = range
    const small = BigInt(random.below(60))
    return random.pick([min, max, small, max - small, max / 2n + small])
  }
  if (type === types.bool) return random.oneIn(2)
  if (type === types.string) return anyText(random)
  return Math.fround(
    random.pick([0, -0, 1.5, -2.25, Infinity, NaN, 1e-40, 3e38, random.below(1e6) / 8]),
  )
}

const simple = Object.values(types).filter((type) => type !== types.array)

/** Some value, of any type. */
export const anyEntry = (random: Random, key: string): Entry => {
  const of = random.pick(simple)
  if (!random.oneIn(3)) return { key, type: of, of, data: scalar(random, of) }
  return { key, type: types.array, of, data: random.some(6, () => scalar(random, of)) }
}

/** Names, each once. */
const names = (
  random: Random,
  most: number,
  reserved: ReadonlyArray<string>,
): ReadonlyArray<string> =>
  [
    ...new Set(random.some(most, () => anyText(random))),
  ].filter((name) => !reserved.includes(name))

const alignments = [1, 2, 8, 32, 64, 256]

/** Bytes of a row's data; 0 of a form that is not known. */
export const bytesOf = ({ sizes, type }: Row): bigint => {
  const [, elements = 1, bytes = 0] = forms.get(type) ?? []
  return sizes.reduce((product, size) => product * size, 1n) / BigInt(elements) * BigInt(bytes)
}

/** A sound file: entries of all types, tensors in any order, some with gaps between. */
export const anySound = (random: Random): Described => {
  const entries = names(random, 6, []).map((key) => anyEntry(random, key))
  const stated = random.oneIn(2)
  const alignment = stated ? random.pick(alignments) : 32
  if (stated) {
    const type = random.pick([types.u32, types.u64, types.i32, types.u16])
    entries.splice(random.below(entries.length + 1), 0, {
      key: "general.alignment",
      type,
      of: type,
      data: BigInt(alignment),
    })
  }
  const rows = names(random, 5, []).map((name): Row => {
    const type = random.pick([...forms.keys()])
    const [, elements] = forms.get(type)!
    const outer = random.some(random.oneIn(4) ? 3 : 1, () => BigInt(1 + random.below(3)))
    return { name, type, sizes: [BigInt(elements * (1 + random.below(3))), ...outer], offset: 0n }
  })
  let end = 0n
  for (const row of random.shuffled(rows)) {
    const step = BigInt(alignment)
    row.offset = (end + step - 1n) / step * step + (random.oneIn(6) ? step : 0n)
    end = row.offset + bytesOf(row)
  }
  return { version: 3, entries, rows, alignment, data: Number(end) + random.below(3) }
}
