/**
 * Finds the tokens that stand in a text as written: at each place the longest, from the left.
 *
 * @module
 */

/** A text in parts: an id for each token found, and what lies between them. */
export type Cut = (text: string) => ReadonlyArray<number | string>

/** Prepares for some tokens. Cutting takes at most the length of the longest token for each letter. */
export const cutter = (tokens: ReadonlyArray<readonly [id: number, text: string]>): Cut => {
  // A trie in two maps: a map for each of its nodes would take ten times the memory.
  const below = new Map<number, number>()
  const ends = new Map<number, number>()
  const edge = (node: number, text: string, at: number) => node * 2 ** 16 + text.charCodeAt(at)
  let nodes = 1
  for (const [id, text] of tokens) {
    let node = 0
    for (let at = 0; at < text.length; at++) {
      const key = edge(node, text, at)
      const next = below.get(key) ?? nodes++
      below.set(key, next)
      node = next
    }
    ends.set(node, id)
  }

  const longest = (text: string, from: number) => {
    let found: { readonly id: number; readonly end: number } | undefined
    let node: number | undefined = 0
    for (let at = from; at < text.length; at++) {
      node = below.get(edge(node, text, at))
      if (node === undefined) break
      const id = ends.get(node)
      if (id !== undefined) found = { id, end: at + 1 }
    }
    return found
  }

  return (text) => {
    const parts: Array<number | string> = []
    let start = 0
    for (let at = 0; at < text.length;) {
      const found = longest(text, at)
      if (found === undefined) at++
      else {
        if (at > start) parts.push(text.slice(start, at))
        parts.push(found.id)
        at = start = found.end
      }
    }
    if (start < text.length) parts.push(text.slice(start))
    return parts
  }
}
