/**
 * Merges the letters of a text into pieces: ever the two neighbours with the highest score, of equal ones the
 * leftmost, until no two neighbours make a piece.
 *
 * Source: SentencePiece's src/bpe_model.cc.
 *
 * @module
 */

/** Two neighbours that make a piece together. */
interface Pair {
  /** Where the left one begins. */
  readonly left: number
  /** Where the right one begins. */
  readonly right: number
  /** Where the right one ends. */
  readonly end: number
  readonly score: number
}

const before = (a: Pair, b: Pair): boolean =>
  a.score > b.score || (a.score === b.score && a.left < b.left)

/** Adds to a binary heap, whose first is before all others. */
const push = (heap: Array<Pair>, pair: Pair): void => {
  let at = heap.length
  for (; at > 0; at = (at - 1) >> 1) {
    const parent = heap[(at - 1) >> 1]!
    if (!before(pair, parent)) break
    heap[at] = parent
  }
  heap[at] = pair
}

/** Takes the first out. */
const pop = (heap: Array<Pair>): Pair | undefined => {
  const [first, last] = [heap[0], heap.pop()]
  if (heap.length === 0 || last === undefined) return first
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
    if (!before(heap[child]!, last)) break
    heap[at] = heap[child]!
    at = child
  }
  heap[at] = last
  return first
}

/**
 * The pieces of a text; `score` tells what it is worth to join two neighbours, from `left` to `right` and on to
 * `end`, and that they make no piece. O(n log n) for n letters, besides what `score` takes.
 */
export const merge = (
  text: string,
  score: (left: number, right: number, end: number) => number | undefined,
): ReadonlyArray<string> => {
  // By where a piece begins: where it ends, which is where the next one begins, and where the last began.
  const ends = new Int32Array(text.length)
  const starts = new Int32Array(text.length + 1)
  for (let at = 0; at < text.length; at = ends[at]!) {
    ends[at] = at + (text.codePointAt(at)! > 0xffff ? 2 : 1)
    starts[ends[at]!] = at
  }
  const heap: Array<Pair> = []
  const offer = (left: number, right: number): void => {
    if (right >= text.length) return
    const end = ends[right]!
    const worth = score(left, right, end)
    if (worth !== undefined) push(heap, { left, right, end, score: worth })
  }
  for (let at = 0; at < text.length; at = ends[at]!) offer(at, ends[at]!)
  for (let pair = pop(heap); pair !== undefined; pair = pop(heap)) {
    const { left, right, end } = pair
    // One of the two may be part of a larger piece by now.
    if (ends[left] !== right || ends[right] !== end) continue
    ends[left] = end
    ends[right] = 0
    starts[end] = left
    if (left > 0) offer(starts[left]!, left)
    offer(left, end)
  }
  const pieces: Array<string> = []
  for (let at = 0; at < text.length; at = ends[at]!) pieces.push(text.slice(at, ends[at]))
  return pieces
}
