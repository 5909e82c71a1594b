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
  /** Arrays of one file that are not empty: each takes more memory than it does letters. */
  readonly arrays: number
  /** Objects of one file that are not empty: each takes far more memory than it does letters. */
  readonly objects: number
  /** Members of the outermost object, whose places in the file are kept. */
  readonly members: number
  /** Bytes of one file. */
  readonly fileBytes: number
} = {
  depth: 64,
  values: 3 * 2 ** 20,
  arrays: 2 ** 20,
  objects: 2 ** 17,
  members: 2 ** 17,
  fileBytes: 2 ** 27,
}
