/**
 * Where a sequence lies: a persistent array of block references in two levels, so that a push copies at most
 * one chunk and the spine, a write in place copies nothing, and versions share what did not change.
 *
 * @module
 */

/** A place in the arena: the block, and the generation in which it was given. */
export interface Ref {
  readonly id: number
  readonly generation: number
}

/** Neighbouring references, as the two columns kernels and checks read; never changed once made. */
interface Chunk {
  readonly ids: Uint32Array
  readonly generations: Uint32Array
}

/** References in order of position: whole chunks, then the rest. */
export interface Table {
  readonly full: ReadonlyArray<Chunk>
  readonly tail: Chunk
}

/** References a chunk holds. Pushing n blocks one at a time copies n · (chunk / 2 + n / chunk) words. */
const size = 64

const slice = ({ ids, generations }: Chunk, end: number): Chunk => ({
  ids: ids.slice(0, end),
  generations: generations.slice(0, end),
})

const withRef = (chunk: Chunk, i: number, { id, generation }: Ref): Chunk => {
  const length = Math.max(chunk.ids.length, i + 1)
  const [ids, generations] = [new Uint32Array(length), new Uint32Array(length)]
  ids.set(chunk.ids)
  generations.set(chunk.generations)
  ids[i] = id
  generations[i] = generation
  return { ids, generations }
}

/** No blocks. */
export const empty: Table = {
  full: [],
  tail: { ids: new Uint32Array(0), generations: new Uint32Array(0) },
}

/** Number of blocks. O(1). */
export const length = (table: Table): number => table.full.length * size + table.tail.ids.length

/** The i-th reference, or undefined past the end. O(1). */
export const at = (table: Table, i: number): Ref | undefined => {
  const { ids, generations } = table.full[Math.floor(i / size)] ?? table.tail
  const id = ids[i % size]
  return id === undefined || i >= length(table)
    ? undefined
    : { id, generation: generations[i % size]! }
}

/** With the i-th reference replaced, or added when `i` is the length. */
export const set = ({ full, tail }: Table, i: number, ref: Ref): Table => {
  const k = Math.floor(i / size)
  if (k < full.length) return { full: full.with(k, withRef(full[k]!, i % size, ref)), tail }
  const changed = withRef(tail, i % size, ref)
  return changed.ids.length < size
    ? { full, tail: changed }
    : { full: [...full, changed], tail: empty.tail }
}

/** These references. O(n). */
export const of = (refs: ReadonlyArray<Ref>): Table => {
  const chunks: Array<Chunk> = []
  for (let i = 0; i <= refs.length; i += size) {
    const some = refs.slice(i, i + size)
    chunks.push({
      ids: Uint32Array.from(some, ({ id }) => id),
      generations: Uint32Array.from(some, ({ generation }) => generation),
    })
  }
  return { full: chunks.slice(0, -1), tail: chunks.at(-1)! }
}

/** Its first `n` references; the same object when that is all of them. */
export const take = (table: Table, n: number): Table => {
  if (n === length(table)) return table
  const k = Math.floor(n / size)
  return { full: table.full.slice(0, k), tail: slice(table.full[k] ?? table.tail, n % size) }
}

/** Writes the ids of every block to `into`, from index `start` on. One copy a chunk. */
export const copyIds = ({ full, tail }: Table, into: Uint32Array, start: number): void => {
  for (const [k, { ids }] of full.entries()) into.set(ids, start + k * size)
  into.set(tail.ids, start + full.length * size)
}
