/**
 * How much of anything a model file may hold. Far above every model known, far below what would hurt.
 *
 * @module
 */

/** The limits, by the names that errors give. */
export const limits: {
  /** Metadata entries. */
  readonly metadataEntries: number
  /** Bytes of one string. */
  readonly stringBytes: number
  /** Elements of one metadata array. */
  readonly arrayElements: number
  /** Tensors. */
  readonly tensors: number
  /** Axes of one tensor. */
  readonly dimensions: number
  /** Bytes before the tensor data: header, metadata and tensor table. */
  readonly headerBytes: number
} = {
  metadataEntries: 65_536,
  stringBytes: 2 ** 23,
  arrayElements: 2 ** 20,
  tensors: 65_536,
  dimensions: 4,
  headerBytes: 2 ** 28,
}
