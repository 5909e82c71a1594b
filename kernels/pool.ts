/** Storage of keys and values: dtypes of a pool, and where the row of a slot and a head lies in it. @module */
import { bf16, bf16OfBits, f16, f16OfBits } from "./half.ts"
import { dequantise, quantise } from "./int8.ts"
import type { ArrayOf } from "./kernel.ts"

/** How a pool may store its rows. */
export type Pool = "f32" | "f16" | "bf16" | "int8"

/** The pools' dtypes. */
export const pools: ReadonlyArray<Pool> = ["f32", "f16", "bf16", "int8"]

/** Elements in a 32-bit word, which is what a shader's thread owns. */
export const perWord: Readonly<Record<Pool, number>> = { f32: 1, f16: 2, bf16: 2, int8: 4 }

/** Words of a row before its elements: the scale of its bytes. */
const scaleWords: Readonly<Record<Pool, number>> = { f32: 0, f16: 0, bf16: 0, int8: 1 }

/** Elements that a row of `dim` takes: whole words, so that no two threads share one. */
export const width = (dtype: Pool, dim: number): number =>
  perWord[dtype] * (scaleWords[dtype] + Math.ceil(dim / perWord[dtype]))

/** Strides of a pool, in elements: all whole words. */
export interface Place {
  readonly base: number
  readonly blockSize: number
  readonly blockStride: number
  readonly headStride: number
  readonly slotStride: number
}

/** First element of the row of a slot and a head. */
export const address = (p: Place, slot: number, head: number): number =>
  p.base + Math.floor(slot / p.blockSize) * p.blockStride + head * p.headStride +
  slot % p.blockSize * p.slotStride

/** `address` in WGSL. */
export const addressOf: string = /* wgsl */ `
fn address(slot: u32, head: u32) -> u32 {
  return params.base + (slot / params.block_size) * params.block_stride +
    head * params.head_stride + (slot % params.block_size) * params.slot_stride;
}
`

/** Stores `n` f32, given with their bits, into a pool, and zero in what is left of the last word. */
export type Store = (
  rows: Float32Array,
  bits: Uint32Array,
  from: number,
  n: number,
  pool: ArrayOf[Pool],
  at: number,
) => void

const halves = (half: (bits: number) => number): Store => (_, bits, from, n, pool, at) => {
  for (let i = 0; i < n; i++) pool[at + i] = half(bits[from + i]!)
  if (n % 2 === 1) pool[at + n] = 0
}

/** A store for each dtype. */
export const store: Readonly<Record<Pool, Store>> = {
  f32: (rows, _, from, n, pool, at) => {
    for (let i = 0; i < n; i++) pool[at + i] = rows[from + i]!
  },
  f16: halves(f16OfBits),
  bf16: halves(bf16OfBits),
  int8: quantise,
}

/** Reads `n` elements of a row, or of rows side by side, as f32, which holds all of its dtypes exactly. */
export type Widen = (
  pool: ArrayOf[Pool],
  at: number,
  n: number,
  to: Float32Array,
  start: number,
) => void

const widenHalves = (values: Float32Array): Widen => (pool, at, n, to, start) => {
  for (let i = 0; i < n; i++) to[start + i] = values[pool[at + i]!]!
}

/** A reader for each dtype. */
export const widen: Readonly<Record<Pool, Widen>> = {
  f32: (pool, at, n, to, start) => to.set(pool.subarray(at, at + n), start),
  f16: widenHalves(f16),
  bf16: widenHalves(bf16),
  int8: dequantise,
}
