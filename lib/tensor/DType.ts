/** Dtypes: their sizes and their typed arrays. @module */
import type { ArrayOf, DType, Quantised, Scalar, Scaled, Tiled } from "../../kernels/kernel.ts"

export type { ArrayOf, DType, Quantised, Scalar, Scaled, Tiled }

/** Elements stored together, and the bytes they take. */
export interface Format {
  /** Elements in one stored unit: 32 or 256 for quantised blocks, 32 rows of these for tiles, else 1. */
  readonly elements: number
  /** Bytes of one stored unit. */
  readonly bytes: number
}

/** The storage of every dtype. */
export const formats: { readonly [D in DType]: Format } = {
  f32: { elements: 1, bytes: 4 },
  f16: { elements: 1, bytes: 2 },
  bf16: { elements: 1, bytes: 2 },
  i32: { elements: 1, bytes: 4 },
  u32: { elements: 1, bytes: 4 },
  q8_0: { elements: 32, bytes: 34 },
  q4_0: { elements: 32, bytes: 18 },
  q4_1: { elements: 32, bytes: 20 },
  q5_0: { elements: 32, bytes: 22 },
  q4_K: { elements: 256, bytes: 144 },
  q6_K: { elements: 256, bytes: 210 },
  f16_tiled: { elements: 1024, bytes: 2048 },
  bf16_tiled: { elements: 1024, bytes: 2048 },
  q8_0_tiled: { elements: 1024, bytes: 1088 },
  q4_0_tiled: { elements: 1024, bytes: 576 },
  q4_1_tiled: { elements: 1024, bytes: 640 },
  q5_0_tiled: { elements: 1024, bytes: 704 },
  q4_K_tiled: { elements: 8192, bytes: 4608 },
  q6_K_tiled: { elements: 8192, bytes: 6720 },
  int8: { elements: 1, bytes: 1 }, // a scale of a row is four of them
}

/** Bytes of `count` elements, not rounded up; `count` is a multiple of the format's elements. */
export const bytes = (dtype: DType, count: number): number =>
  count / formats[dtype].elements * formats[dtype].bytes

/** Bytes of a buffer that holds `count` elements: whole words, never none, as WebGPU wants them. */
export const bufferBytes = (dtype: DType, count: number): number =>
  Math.max(4, Math.ceil(bytes(dtype, count) / 4) * 4)

/** A typed array of `count` elements of a dtype over memory. */
export const view = <D extends DType>(dtype: D, data: ArrayBuffer, count: number): ArrayOf[D] => {
  const make = (): ArrayOf[DType] => {
    switch (dtype) {
      case "f32":
        return new Float32Array(data, 0, count)
      case "i32":
        return new Int32Array(data, 0, count)
      case "u32":
        return new Uint32Array(data, 0, count)
      case "f16":
      case "bf16":
        return new Uint16Array(data, 0, count)
      case "f16_tiled":
      case "bf16_tiled":
      case "q8_0_tiled":
      case "q4_0_tiled":
      case "q4_1_tiled":
      case "q5_0_tiled":
      case "q4_K_tiled":
      case "q6_K_tiled":
        return new Uint32Array(data, 0, bytes(dtype, count) / 4)
      default:
        return new Uint8Array(data, 0, bytes(dtype, count))
    }
  }
  return make() as ArrayOf[D] // the switch above is the mapping `ArrayOf` states
}
