/**
 * Finds the tokens that stand in a text as written: at each place the longest, from the left.
 *
 * Source: Aho and Corasick, "Efficient string matching" (1975), from the right: a token that begins at a letter
 * ends there when both are read backwards.
 *
 * @module
 */

/** A text in parts: an id for each token found, and what lies between them. */
export type Cut = (text: string) => ReadonlyArray<number | string>

/** Prepares for some tokens. Cutting is linear in the text, whatever the tokens are. */
export const cutter = (tokens: ReadonlyArray<readonly [id: number, text: string]>): Cut => {
  // A trie of tokens backwards in one map: a map for each of its nodes would take ten times the memory.
  const below = new Map<number, number>()
  const edge = (node: number, unit: number) => node * 2 ** 16 + unit
  const most = tokens.reduce((sum, [, text]) => sum + text.length, 1)
  /** By node how it is reached: from which, by what, in how many steps. */
  const from = new Int32Array(most)
  const by = new Uint16Array(most)
  const depth = new Int32Array(most)
  /** By node the longest token that it ends with, as a place in `tokens`, or -1. */
  const ending = new Int32Array(most).fill(-1)
  let nodes = 1
  for (const [i, [, text]] of tokens.entries()) {
    let node = 0
    for (let at = text.length - 1; at >= 0; at--) {
      const unit = text.charCodeAt(at)
      const key = edge(node, unit)
      let next = below.get(key)
      if (next === undefined) {
        next = nodes++
        below.set(key, next)
        from[next] = node
        by[next] = unit
        depth[next] = text.length - at
      }
      node = next
    }
    ending[node] = i
  }

  /** By node the longest shorter one that it ends with. */
  const shorter = new Int32Array(most)
  const step = (start: number, unit: number): number => {
    for (let node = start;; node = shorter[node]!) {
      const next = below.get(edge(node, unit))
      if (next !== undefined) return next
      if (node === 0) return 0
    }
  }
  const byDepth = Int32Array.from({ length: nodes }, (_, node) => node)
    .sort((a, b) => depth[a]! - depth[b]!)
  for (const node of byDepth) {
    if (depth[node]! > 1) shorter[node] = step(shorter[from[node]!]!, by[node]!)
    if (ending[node]! < 0) ending[node] = ending[shorter[node]!]!
  }

  return (text) => {
    if (tokens.length === 0) return text === "" ? [] : [text]
    const longest = new Int32Array(text.length)
    for (let at = text.length - 1, node = 0; at >= 0; at--) {
      node = step(node, text.charCodeAt(at))
      longest[at] = ending[node]!
    }
    const parts: Array<number | string> = []
    let start = 0
    for (let at = 0; at < text.length;) {
      const token = tokens[longest[at]!]
      if (token === undefined) at++
      else {
        if (at > start) parts.push(text.slice(start, at))
        parts.push(token[0])
        at = start = at + token[1].length
      }
    }
    if (start < text.length) parts.push(text.slice(start))
    return parts
  }
}
