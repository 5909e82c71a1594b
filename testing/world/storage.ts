/**
 * Rows of keys and values: numbers that every storage holds exactly, but int8, which rounds them; and the pools'
 * memory, read and poisoned behind the library's back.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import { type Arena, Gpu, type KvCache, Layout, Recording } from "../../mod.ts"
import type { DeviceError, GpuFault, ShapeMismatch } from "../../mod.ts"
import * as int8 from "./int8.ts"

type Numbers = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint8Array<ArrayBuffer>

/** Both halves of a cache. */
export const kinds = ["keys", "values"] as const

/** Element `i` of a head of a row, as it is given: a multiple of 1/64 from −2 to 2, another for every row. */
export const element = (
  row: number,
  layer: number,
  kind: Layout.Kind,
  head: number,
  i: number,
): number => {
  const place = 64 * (64 * (2 * layer + (kind === "keys" ? 0 : 1)) + head) + i + 1
  let h = Math.imul(row + 1, 0x9e3779b1) ^ Math.imul(place, 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39)
  return ((h >>> 24) - 128) / 64
}

/** A head of a row, as it is given. */
const headOf = (
  layout: Layout,
  row: number,
  layer: number,
  kind: Layout.Kind,
  head: number,
): ReadonlyArray<number> =>
  Array.from(
    { length: Layout.half(layout, kind).dim },
    (_, i) => element(row, layer, kind, head, i),
  )

const heads = (layout: Layout, kind: Layout.Kind): ReadonlyArray<number> =>
  Array.from({ length: Layout.half(layout, kind).heads }, (_, head) => head)

/** All heads of a row in one layer, `[heads, dim]`, as they are given. */
export const givenRow = (
  layout: Layout,
  row: number,
  layer: number,
  kind: Layout.Kind,
): ReadonlyArray<number> =>
  heads(layout, kind).flatMap((head) => headOf(layout, row, layer, kind, head))

/** All heads of a row in one layer, `[heads, dim]`, as the arena holds them. */
export const rowOf = (
  layout: Layout,
  row: number,
  layer: number,
  kind: Layout.Kind,
): ReadonlyArray<number> =>
  layout.dtype !== "int8"
    ? givenRow(layout, row, layer, kind)
    : heads(layout, kind).flatMap((head) =>
      int8.dequantised(int8.quantised(headOf(layout, row, layer, kind, head)))
    )

const f16Of = (x: number): number => {
  if (x === 0) return 0
  const exponent = Math.floor(Math.log2(Math.abs(x)))
  const fraction = Math.abs(x) / 2 ** exponent - 1
  return (x < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | (fraction * 1024)
}

const bf16Of = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0]! >>> 16

/** Numbers as an arena of this layout is given them; exact for those of `element`. */
export const pack = (
  dtype: Layout.Given,
  numbers: ReadonlyArray<number>,
): Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> => {
  if (dtype === "f32") return Float32Array.from(numbers)
  return Uint16Array.from(numbers, dtype === "f16" ? f16Of : bf16Of)
}

const half = (layout: Layout, kind: Layout.Kind, ids: ReadonlyArray<number>) =>
  pack(
    Layout.givenAs(layout),
    Array.from({ length: layout.layers }, (_, layer) =>
      ids.flatMap((row) => givenRow(layout, row, layer, kind))).flat(),
  )

const sizesOf = (layout: Layout, tokens: number) => {
  const { layers, keyHeads, keyDim, valueHeads, valueDim } = layout
  return { layers, tokens, keyHeads, keyDim, valueHeads, valueDim }
}

const keyAxes = "layers tokens keyHeads keyDim"
const valueAxes = "layers tokens valueHeads valueDim"

/** These rows on the device, for as long as the scope lives. */
export const upload = (
  layout: Layout,
  ids: ReadonlyArray<number>,
): Effect.Effect<KvCache.Rows, ShapeMismatch | GpuFault, Gpu | Scope.Scope> => {
  const sizes = sizesOf(layout, ids.length)
  return Effect.all({
    keys: Gpu.upload(Layout.givenAs(layout), keyAxes, sizes, half(layout, "keys", ids)),
    values: Gpu.upload(Layout.givenAs(layout), valueAxes, sizes, half(layout, "values", ids)),
  })
}

/** These rows as tensors of a recording. */
export const record = (layout: Layout, ids: ReadonlyArray<number>): KvCache.Rows => {
  const { layers, tokens, keyHeads, keyDim, valueHeads, valueDim } = sizesOf(layout, ids.length)
  const dtype = Layout.givenAs(layout)
  const [keys, values] = [half(layout, "keys", ids), half(layout, "values", ids)]
  return {
    keys: Recording.fresh(dtype, keyAxes, [layers, tokens, keyHeads, keyDim], keys),
    values: Recording.fresh(dtype, valueAxes, [layers, tokens, valueHeads, valueDim], values),
  }
}

/** Where one layer keeps one half of a group's slots. */
interface Half {
  readonly layer: number
  readonly kind: Layout.Kind
  readonly heads: number
  /** Elements of a head, the scale of an int8 row included. */
  readonly width: number
  readonly pool: number
  readonly base: number
  readonly strides: Strides
}

/** Elements between neighbours. */
interface Strides {
  readonly block: number
  readonly slot: number
  readonly head: number
}

/** Where everything of an arena lies, by group. */
export type Places = ReadonlyArray<ReadonlyArray<Half>>

/** Works out where everything lies. */
export const placesOf = (layout: Layout): Places =>
  layout.groups.map(({ layers }) =>
    layers.flatMap((layer) =>
      kinds.map((kind) => {
        const { pool, base, block, slot, head } = Layout.strides(layout, layer, kind)
        const { heads, dim } = Layout.half(layout, kind)
        const width = layout.dtype === "int8" ? 4 + 4 * Math.ceil(dim / 4) : dim
        return { layer, kind, heads, width, pool, base, strides: { block, slot, head } }
      })
    )
  )

/** A row as the layers of a group store it: half after half, head after head. */
export type Image = Numbers

const joined = (parts: ReadonlyArray<Numbers>, empty: Numbers): Image => {
  const all = parts.flatMap((part) => [...part])
  if (empty instanceof Float32Array) return Float32Array.from(all)
  return empty instanceof Uint8Array ? Uint8Array.from(all) : Uint16Array.from(all)
}

/** How the layers of a group store a row. */
export const imageOf = (layout: Layout, group: number, row: number): Image => {
  const parts = layout.groups[group]!.layers.flatMap((layer) =>
    kinds.flatMap((kind) =>
      heads(layout, kind).map((head) => {
        const given = headOf(layout, row, layer, kind, head)
        return layout.dtype === "int8"
          ? int8.image(int8.quantised(given))
          : pack(layout.dtype, given)
      })
    )
  )
  return joined(parts, elementsOf(layout.dtype, new ArrayBuffer(0)))
}

const elementsOf = (dtype: Layout.Storage, raw: ArrayBuffer): Numbers => {
  if (dtype === "f32") return new Float32Array(raw)
  return dtype === "int8" ? new Uint8Array(raw) : new Uint16Array(raw)
}

/** The elements of each pool. */
export type Memory = ReadonlyArray<Numbers>

/** The pools of an arena whose memory is the host's, not copied. */
export const memoryOf = ({ layout, pools }: Arena): Memory =>
  pools.map(({ slot }) => elementsOf(layout.dtype, slot.buffer!.raw as ArrayBuffer))

/** Copies of the pools of any device. */
export const copiedFrom = (
  { layout, pools }: Arena,
  { read }: Gpu.GpuShape,
): Effect.Effect<Memory, DeviceError> =>
  Effect.forEach(
    pools,
    ({ slot: { buffer, bytes } }) =>
      Effect.map(read(buffer!, bytes), (raw) => elementsOf(layout.dtype, raw)),
    {
      concurrency: "unbounded",
    },
  )

/** Does this slot hold this row? */
export const holds = (
  halves: ReadonlyArray<Half>,
  memory: Memory,
  blockSize: number,
  slot: number,
  image: Image,
): boolean => {
  let next = 0
  for (const { heads, width, pool, base, strides } of halves) {
    const elements = memory[pool]!
    let at = base + Math.floor(slot / blockSize) * strides.block + slot % blockSize * strides.slot
    for (let head = 0; head < heads; head++, at += strides.head) {
      for (let i = 0; i < width; i++) if (elements[at + i] !== image[next++]) return false
    }
  }
  return true
}

/**
 * What stands where nobody may look: not a number, or finite and in no row, as WGSL may take for granted that
 * nothing else is met: f32 ±29,987, bf16 ±29,952, f16 ±6.9, int8 a scale of ±25,443.
 */
export type Poison = "nan" | "high" | "low"

/** The poison in both halves of a word. */
export const words: Readonly<Record<Poison, number>> = {
  nan: 0x7fc0_7fc0,
  high: 0x46ea_46ea,
  low: 0xc6ea_c6ea,
}

const elementOf = (dtype: Layout.Storage, poison: Poison): number => {
  if (dtype === "int8") return { nan: 0xff, high: 0x46, low: 0xc6 }[poison]
  if (dtype !== "f32") return words[poison] & 0xffff
  return new Float32Array(Uint32Array.of(words[poison]).buffer)[0]!
}

/** Fills every slot that no value may see: of free blocks, past the fill mark, of the dummy. */
export const poisonUnseen = (
  { layout: { blockSize, dtype }, ledgers }: Arena,
  places: Places,
  memory: Memory,
  poison: Poison,
): void => {
  const element = elementOf(dtype, poison)
  for (const [group, { numBlocks, references, fill }] of ledgers.entries()) {
    for (const { heads, width, pool, base, strides } of places[group]!) {
      const elements = memory[pool]!
      for (let block = 0; block <= numBlocks; block++) {
        const seen = block < numBlocks && references[block]! > 0 ? fill[block]! : 0
        for (let slot = seen; slot < blockSize; slot++) {
          let at = base + block * strides.block + slot * strides.slot
          for (let head = 0; head < heads; head++, at += strides.head) {
            for (let i = 0; i < width; i++) elements[at + i] = element
          }
        }
      }
    }
  }
}
