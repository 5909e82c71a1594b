/** Seeds made of seeds, so that one number names everything that a campaign tries. @module */

/** A seed of 31 bits for these words under a seed: FNV-1a, then mixed so that near words lie apart. */
export const seedOf = (seed: number, ...words: ReadonlyArray<string | number>): number => {
  let hash = 0x811c9dc5
  for (const letter of [seed, ...words].join("\u0000")) {
    hash = Math.imul(hash ^ letter.codePointAt(0)!, 0x01000193)
  }
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b)
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35)
  return (hash ^ hash >>> 16) & 0x7fffffff
}
