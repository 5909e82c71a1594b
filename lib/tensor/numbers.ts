/** Numbers as lists of callers and shaders have them. @module */

/** The largest of a list, or `least`. A list of a caller's length cannot be spread: engines take some 65,000 arguments. */
export const largest = (list: Iterable<number>, least: number): number => {
  let most = least
  for (const one of list) most = Math.max(most, one)
  return most
}

/** The smallest of a list, or `most`. */
export const smallest = (list: Iterable<number>, most: number): number => {
  let least = most
  for (const one of list) least = Math.min(least, one)
  return least
}

/** The largest word. A count above it means as much to a shader, whose contexts are shorter. */
export const mostWord: number = 2 ** 32 - 1

/** Whether shaders have such a number: finite, also in f32. */
export const isF32 = (x: number): boolean => Number.isFinite(x) && Number.isFinite(Math.fround(x)) // the first refuses what is no number at all

/** Whether shaders have such a number above 0: one that is not rounded to 0. */
export const isAboveF32 = (x: number): boolean => isF32(x) && Math.fround(x) > 0

/** What is needed, and that it is needed in f32 where only that is amiss. */
export const inF32 = (need: string, x: number): string =>
  Number.isFinite(x) && (!isF32(x) || (x !== 0 && Math.fround(x) === 0))
    ? `${need}, also in f32`
    : need
