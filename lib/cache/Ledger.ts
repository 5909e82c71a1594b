/**
 * The book of one layer group's blocks: generation, references and fill mark of each, and the free list.
 * It knows no sequences. Everything here is synchronous; what may be written is decided by `Plan`.
 *
 * @module
 */

/** The book. Its arrays change in place; only claims, settlements and releases do that. */
export interface Ledger {
  readonly numBlocks: number
  /** Times each block was given back: moves at release to zero owners, nowhere else. */
  readonly generation: Uint32Array
  /** Open owners that hold each block. */
  readonly references: Uint32Array
  /** Slots of each block ever written in this generation. */
  readonly fill: Uint32Array
  /** A stack of free blocks; the first `numFree` count, the last of them goes first. */
  readonly free: Uint32Array
  numFree: number
}

/** All blocks free. */
export const make = (numBlocks: number): Ledger => ({
  numBlocks,
  generation: new Uint32Array(numBlocks),
  references: new Uint32Array(numBlocks),
  fill: new Uint32Array(numBlocks),
  free: Uint32Array.from({ length: numBlocks }, (_, i) => numBlocks - 1 - i),
  numFree: numBlocks,
})

/** The k-th block that would be taken next, or undefined when fewer are free. */
export const peek = (ledger: Ledger, k: number): number | undefined =>
  k < ledger.numFree ? ledger.free[ledger.numFree - 1 - k] : undefined

/** An owner holds a block. */
export const retain = (ledger: Ledger, held: Set<number>, id: number): void => {
  if (held.has(id)) return
  held.add(id)
  ledger.references[id]!++
}

/** An owner lets a block go. Without owners it is free, and every reference to it is stale. */
export const release = (ledger: Ledger, held: Set<number>, id: number): void => {
  if (!held.delete(id)) return
  if (--ledger.references[id]! > 0) return
  ledger.generation[id]!++
  ledger.fill[id] = 0
  ledger.free[ledger.numFree++] = id
}
