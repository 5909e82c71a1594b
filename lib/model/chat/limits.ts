/**
 * How much a chat template may ask for: steps grow with the conversation, of which a thousand messages take about
 * half. With a short one a template ends within 50 ms, whatever it asks for.
 *
 * @module
 */

/** The limits, by the names that errors give. */
export const limits: {
  /** Characters of the template. */
  readonly template: number
  /** Characters of white space one after the other, in the template. */
  readonly blank: number
  /** Evaluations, and elements of arrays that are made; and besides, */
  readonly steps: number
  /** this many more for each message, */
  readonly stepsOfMessage: number
  /** and one more for so many characters of messages. */
  readonly charactersOfStep: number
  /** Characters that operations read. */
  readonly work: number
  /** Size of one operand times the sizes of the others. */
  readonly product: number
  /** Evaluations inside one another. */
  readonly depth: number
  /** Characters of a text, and characters and elements of an array or object. */
  readonly output: number
} = {
  template: 2 ** 16,
  blank: 256,
  steps: 2 ** 14,
  stepsOfMessage: 2 ** 7,
  charactersOfStep: 8,
  work: 2 ** 22,
  product: 2 ** 26,
  depth: 200,
  output: 2 ** 20,
}
