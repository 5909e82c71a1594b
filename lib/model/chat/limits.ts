/**
 * How much a chat template may ask for. A conversation of a thousand messages takes about half of it; all of it
 * is spent within a second.
 *
 * @module
 */

/** The limits, by the names that errors give. */
export const limits: {
  /** Characters of the template. */
  readonly template: number
  /** Characters of white space one after the other, in the template. */
  readonly blank: number
  /** Evaluations, and elements of arrays that are made. */
  readonly steps: number
  /** Characters that operations read. */
  readonly work: number
  /** Size of one operand times the sizes of the others. */
  readonly product: number
  /** Evaluations inside one another. */
  readonly depth: number
  /** Characters of a text, and characters and elements of an array or object. */
  readonly output: number
} = {
  template: 2 ** 18,
  blank: 256,
  steps: 2 ** 17,
  work: 2 ** 22,
  product: 2 ** 26,
  depth: 200,
  output: 2 ** 20,
}
