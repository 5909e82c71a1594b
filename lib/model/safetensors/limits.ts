/**
 * How much of anything a safetensors file may hold. Far above every model known, far below what would hurt.
 *
 * @module
 */

/** The limits, by the names that errors give. */
export const limits: {
  /** Bytes of the header. */
  readonly headerBytes: number
  /** Tensors. */
  readonly tensors: number
  /** Axes of one tensor. */
  readonly dimensions: number
  /** Files that the tensors of one model are spread over. */
  readonly shards: number
} = {
  headerBytes: 2 ** 24,
  tensors: 65_536,
  dimensions: 8,
  shards: 1024,
}
