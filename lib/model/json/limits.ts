/**
 * How much JSON is read. Far above every model known, far below what would hurt.
 *
 * @module
 */

/** The limits, by the names that errors give. */
export const limits: {
  /** Objects and arrays inside each other. */
  readonly depth: number
  /** Values of one file. */
  readonly values: number
  /** Bytes of one file. */
  readonly fileBytes: number
} = {
  depth: 64,
  values: 2 ** 23,
  fileBytes: 2 ** 27,
}
