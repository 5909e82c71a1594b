/**
 * The words of a K form's block in the order of its columns.
 *
 * In a file the columns that share a byte are 32 (q4_K), 64 (q6_K) or, with their high bits, 32 apart, and have
 * different scales. A tile wants a scale's columns together: some words change their parts.
 *
 * @module
 */
import type { Weight } from "./decode.ts"

/**
 * Two words, or four: each byte of word i of `to` has as its parts, of four bits, or two, from the lowest on, the
 * parts i of the words of `from`. Taken back by the same with `from` and `to` exchanged.
 */
export interface Move {
  readonly from: ReadonlyArray<number>
  readonly to: ReadonlyArray<number>
}

const each = <A>(n: number, f: (i: number) => A): ReadonlyArray<A> =>
  Array.from({ length: n }, (_, i) => f(i))

// Eight words of a file are two groups: 32 columns in the low halves of bytes, 32 in the high halves.
const q4K = each(4, (pair) =>
  each(4, (w) => {
    const words = [8 * pair + w, 8 * pair + 4 + w]
    return { from: words, to: words }
  })).flat()

// A group is a word of high bits, then two of low halves. Low halves of a file's four words are a group of 16
// columns, high halves the group 64 columns later; high bits of four are groups 32 columns from each other.
const q6K = each(2, (half) => [
  ...each(4, (t) =>
    each(2, (w) => ({
      from: [0, 2].map((later) => 16 * half + 4 * t + later + w),
      to: [0, 4].map((later) => 3 * (8 * half + t + later) + 1 + w),
    }))).flat(),
  ...each(2, (t) => ({
    from: each(4, (w) => 32 + 8 * half + 4 * t + w),
    to: each(4, (pair) => 3 * (8 * half + 2 * pair + t)),
  })),
]).flat()

/** What is moved in each block of a form, words counted in the block. */
export const moves: { readonly [D in Exclude<Weight, "f32">]: ReadonlyArray<Move> } = {
  f16: [],
  bf16: [],
  q8_0: [],
  q4_0: [],
  q4_1: [],
  q5_0: [],
  q4_K: q4K,
  q6_K: q6K,
}
