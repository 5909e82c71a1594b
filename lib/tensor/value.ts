/** What a tensor is. @module */
import type { Effect } from "effect"
import type { DType } from "../../kernels/kernel.ts"
import type { ShapeMismatch } from "../errors.ts"
import type * as Recording from "./Recording.ts"

/**
 * An immutable, row-major array on the device. Axis names are part of the type, sizes are run-time values:
 * `Tensor<"f32", "tokens model">` has `shape` `[tokens, model]`.
 */
export interface Tensor<out D extends DType, out A extends string> {
  readonly dtype: D
  readonly axes: A
  readonly shape: ReadonlyArray<number>
  /** Internal: where it lies. */
  readonly slot: Recording.Slot
}

/** Any tensor. */
export type Any = Tensor<DType, string>

/** Tensors by name, from one record of axis strings: `Tensor.Named<"f32", { norm: "model" }>`. */
export type Named<D extends DType, S extends { readonly [name: string]: string }> = {
  readonly [K in keyof S]: Tensor<D, S[K]>
}

/** What an operation returns: a fresh tensor, or a shape error, inside a recording. */
export type Op<D extends DType, A extends string> = Effect.Effect<
  Tensor<D, A>,
  ShapeMismatch,
  Recording.Recording
>
