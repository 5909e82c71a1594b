/**
 * How a cache stores its rows: as they are, or quantised once, when they are written. Kernels dequantise what they
 * read; nothing is quantised twice.
 *
 * @module
 */
import type * as Layout from "../../cache/Layout.ts"

/** A storage that a quantiser asks for. */
export interface Quantizer {
  readonly name: string
  /** What the arena stores; undefined is the dtype that the cache was asked for. */
  readonly storage: Layout.Storage | undefined
}

/** Rows as they are. */
export const none: Quantizer = { name: "none", storage: undefined }

/**
 * Signed bytes, with a scale for each head and token: a quarter of f32. A token is quantised once, by the launch that
 * writes it.
 */
export const int8: Quantizer = { name: "int8", storage: "int8" }

/** Every quantiser. */
export const all: ReadonlyArray<Quantizer> = [none, int8]
