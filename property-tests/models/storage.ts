/**
 * Rows of keys and values: numbers that every storage holds exactly, but int8, which rounds them; and the pools'
 * memory, read and poisoned behind the library's back.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import { type Arena, Gpu, type KvCache, Layout, Recording } from "../../mod.ts"
import type { GpuFault, ShapeMismatch } from "../../mod.ts"
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

/** A row as every layer of a group stores it, by layer, half and head. */
export type Image = ReadonlyArray<
  {
    readonly layer: number
    readonly kind: Layout.Kind
    readonly head: number
    readonly bits: Numbers
  }
>

/** How the layers of a group store a row. */
export const imageOf = (layout: Layout, group: number, row: number): Image =>
  layout.groups[group]!.layers.flatMap((layer) =>
    kinds.flatMap((kind) =>
      heads(layout, kind).map((head) => {
        const given = headOf(layout, row, layer, kind, head)
        const bits = layout.dtype === "int8"
          ? int8.image(int8.quantised(given))
          : pack(layout.dtype, given)
        return { layer, kind, head, bits }
      })
    )
  )

const elementsOf = (dtype: Layout.Storage, raw: ArrayBuffer): Numbers => {
  if (dtype === "f32") return new Float32Array(raw)
  return dtype === "int8" ? new Uint8Array(raw) : new Uint16Array(raw)
}

/** A pool's elements, not copied, and where the first head of a slot begins. */
const memoryOf = (arena: Arena, layer: number, kind: Layout.Kind) => {
  const { layout, pools } = arena
  const strides = Layout.strides(layout, layer, kind)
  const raw = pools[strides.pool]!.slot.buffer!.raw as ArrayBuffer
  const { blockSize } = layout
  return {
    ...Layout.half(layout, kind),
    elements: elementsOf(layout.dtype, raw),
    at: (slot: number, head: number): number =>
      strides.base + Math.floor(slot / blockSize) * strides.block +
      slot % blockSize * strides.slot + head * strides.head,
  }
}

/** Does this slot hold this row? */
export const holds = (arena: Arena, slot: number, image: Image): boolean =>
  image.every(({ layer, kind, head, bits }) => {
    const { elements, at } = memoryOf(arena, layer, kind)
    for (let i = 0; i < bits.length; i++) {
      if (elements[at(slot, head) + i] !== bits[i]) return false
    }
    return true
  })

/** Finite in every storage, and in no row: f32 −30,053, bf16 −29,952, f16 −6.9, int8 a scale of −25,443. */
const poison = (dtype: Layout.Storage, sign: number): number => {
  if (dtype === "f32") return -30_053 * sign
  if (dtype === "int8") return sign > 0 ? 0xc6 : 0x46
  return sign > 0 ? 0xc6ea : 0x46ea
}

/** Fills every slot that no value may see: of free blocks, past the fill mark, of the dummy. */
export const poisonUnseen = (arena: Arena, sign = 1): void => {
  const { blockSize, dtype, groups } = arena.layout
  for (const [group, { numBlocks, references, fill }] of arena.ledgers.entries()) {
    for (const layer of groups[group]!.layers) {
      for (const kind of kinds) {
        const { elements, heads, dim, at } = memoryOf(arena, layer, kind)
        for (let block = 0; block <= numBlocks; block++) {
          const seen = block < numBlocks && references[block]! > 0 ? fill[block]! : 0
          for (let slot = block * blockSize + seen; slot < (block + 1) * blockSize; slot++) {
            for (let h = 0; h < heads; h++) {
              const end = at(slot, h) + dim + (dtype === "int8" ? 4 : 0) // its scale too
              elements.fill(poison(dtype, sign), at(slot, h), end)
            }
          }
        }
      }
    }
  }
}
