/** Choices that look random, from a seed: the same for everyone, and cheap enough for thousands of files a second. @module */

/** 32 bits that look random, again and again. */
export const bits = (seed: number): () => number => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return (t ^ (t >>> 14)) >>> 0
  }
}

/** A source of choices. */
export interface Random {
  /** A whole number from 0 to one less. */
  readonly below: (count: number) => number
  /** One of a list that is not empty. */
  readonly pick: <A>(list: ReadonlyArray<A>) => A
  /** True in one of `count` cases. */
  readonly oneIn: (count: number) => boolean
  /** From none to `most` of what `make` makes. */
  readonly some: <A>(most: number, make: (i: number) => A) => Array<A>
  /** The same in some order. Not by sorting: how often that compares is the engine's business. */
  readonly shuffled: <A>(list: ReadonlyArray<A>) => Array<A>
}

/** Choices from a seed. */
export const random = (seed: number): Random => {
  const next = bits(seed)
  const below = (count: number): number => next() % count
  return {
    below,
    pick: (list) => list[below(list.length)]!,
    oneIn: (count) => below(count) === 0,
    some: (most, make) => Array.from({ length: below(most + 1) }, (_, i) => make(i)),
    shuffled: (list) => {
      const out = [...list]
      for (let i = out.length - 1; i > 0; i--) {
        const j = below(i + 1)
        ;[out[i], out[j]] = [out[j]!, out[i]!]
      }
      return out
    },
  }
}

/** The seed of one case of a batch. */
export const seedOf = (batch: number, index: number): number =>
  (Math.imul(batch ^ 0x9e3779b9, 0x85ebca6b) + Math.imul(index + 1, 0xc2b2ae35)) | 0
