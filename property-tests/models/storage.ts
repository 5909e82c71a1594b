/**
 * Rows of keys and values as numbers that every storage holds exactly, and the pools' memory, read and
 * poisoned behind the library's back.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import { type Arena, Gpu, type KvCache, Layout, Recording } from "../../mod.ts"
import type { GpuFault, ShapeMismatch } from "../../mod.ts"

type Numbers = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>

/** Both halves of a cache. */
export const kinds = ["keys", "values"] as const

/** Element `i` of a head of a row: a multiple of 1/64 from −2 to 2, another for every row. */
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

/** All heads of a row in one layer, `[heads, dim]`. */
export const rowOf = (
  layout: Layout,
  row: number,
  layer: number,
  kind: Layout.Kind,
): ReadonlyArray<number> => {
  const { heads, dim } = Layout.half(layout, kind)
  const at = (_: unknown, i: number) => element(row, layer, kind, Math.floor(i / dim), i % dim)
  return Array.from({ length: heads * dim }, at)
}

const f16Of = (x: number): number => {
  if (x === 0) return 0
  const exponent = Math.floor(Math.log2(Math.abs(x)))
  const fraction = Math.abs(x) / 2 ** exponent - 1
  return (x < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | (fraction * 1024)
}

const bf16Of = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0]! >>> 16

/** Numbers as the arena stores them; exact for those of `element`. */
export const pack = (dtype: Layout.Storage, numbers: ReadonlyArray<number>): Numbers => {
  if (dtype === "f32") return Float32Array.from(numbers)
  return Uint16Array.from(numbers, dtype === "f16" ? f16Of : bf16Of)
}

const half = (layout: Layout, kind: Layout.Kind, ids: ReadonlyArray<number>): Numbers =>
  pack(
    layout.dtype,
    Array.from({ length: layout.layers }, (_, layer) =>
      ids.flatMap((row) => rowOf(layout, row, layer, kind))).flat(),
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
    keys: Gpu.upload(layout.dtype, keyAxes, sizes, half(layout, "keys", ids)),
    values: Gpu.upload(layout.dtype, valueAxes, sizes, half(layout, "values", ids)),
  })
}

/** These rows as tensors of a recording. */
export const record = (layout: Layout, ids: ReadonlyArray<number>): KvCache.Rows => {
  const { layers, tokens, keyHeads, keyDim, valueHeads, valueDim } = sizesOf(layout, ids.length)
  const { dtype } = layout
  const [keys, values] = [half(layout, "keys", ids), half(layout, "values", ids)]
  return {
    keys: Recording.fresh(dtype, keyAxes, [layers, tokens, keyHeads, keyDim], keys),
    values: Recording.fresh(dtype, valueAxes, [layers, tokens, valueHeads, valueDim], values),
  }
}

/** A row as every layer of a group stores it, by layer and half. */
export type Image = ReadonlyArray<
  { readonly layer: number; readonly kind: Layout.Kind; readonly bits: Numbers }
>

/** How the layers of a group store a row. */
export const imageOf = (layout: Layout, group: number, row: number): Image =>
  layout.groups[group]!.layers.flatMap((layer) =>
    kinds.map((kind) => ({
      layer,
      kind,
      bits: pack(layout.dtype, rowOf(layout, row, layer, kind)),
    }))
  )

/** A pool's elements, not copied, and where the first head of a slot begins. */
const memoryOf = (arena: Arena, layer: number, kind: Layout.Kind) => {
  const { layout, pools } = arena
  const strides = Layout.strides(layout, layer, kind)
  const raw = pools[strides.pool]!.slot.buffer!.raw as ArrayBuffer
  const { blockSize } = layout
  return {
    ...Layout.half(layout, kind),
    elements: layout.dtype === "f32" ? new Float32Array(raw) : new Uint16Array(raw),
    at: (slot: number, head: number): number =>
      strides.base + Math.floor(slot / blockSize) * strides.block +
      slot % blockSize * strides.slot + head * strides.head,
  }
}

/** Does this slot hold this row? */
export const holds = (arena: Arena, slot: number, image: Image): boolean =>
  image.every(({ layer, kind, bits }) => {
    const { elements, heads, dim, at } = memoryOf(arena, layer, kind)
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < dim; i++) {
        if (elements[at(slot, h) + i] !== bits[h * dim + i]) return false
      }
    }
    return true
  })

/** Finite in every storage, and in no row: f32 −30,053, bf16 −29,952, f16 −6.9. */
const poison = (dtype: Layout.Storage, sign: number): number =>
  dtype === "f32" ? -30_053 * sign : sign > 0 ? 0xc6ea : 0x46ea

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
              elements.fill(poison(dtype, sign), at(slot, h), at(slot, h) + dim)
            }
          }
        }
      }
    }
  }
}
