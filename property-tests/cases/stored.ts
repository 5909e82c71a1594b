/** Arrays of cases as tensors of the dtype that the case names. @module */
import { Effect, type Scope } from "effect"
import { bf16OfBits, bitsOf, f16OfBits } from "../../kernels/half.ts"
import { DType, Gpu, type GpuFault, type Layout, type ShapeMismatch } from "../../mod.ts"
import type { Tensor as AnyTensor } from "../../mod.ts"
import type { Tensor } from "./kv.ts"

const names: Readonly<Record<string, string>> = {
  float32: "f32",
  float16: "f16",
  bfloat16: "bf16",
  int8: "int8",
}

/** How a case wants its pool stored; undefined where there is no such storage. */
export const storageOf = (dtype: string): Layout.Storage | undefined => {
  const name = Object.hasOwn(names, dtype) ? names[dtype]! : ""
  // The one step from a file's words to ours.
  return Object.hasOwn(DType.formats, name) ? name as Layout.Storage : undefined
}

/** An array as it lies in a file: whole numbers for what is no float. */
const arrayOf = (
  dtype: "f32" | "f16" | "bf16" | "i32",
  data: ReadonlyArray<number>,
): Float32Array | Uint16Array | Int32Array => {
  const floats = Float32Array.from(data)
  switch (dtype) {
    case "f16":
      return Uint16Array.from(bitsOf(floats), f16OfBits)
    case "bf16":
      return Uint16Array.from(bitsOf(floats), bf16OfBits)
    case "f32":
      return floats
    default:
      return Int32Array.from(data)
  }
}

/** Uploads an array in its own dtype, which the code under test may have to refuse. */
export const uploaded = <const A extends string>(
  axes: A,
  { dtype, shape, data }: Tensor,
): Effect.Effect<
  AnyTensor<DType.DType, A>,
  ShapeMismatch | GpuFault,
  Gpu | Scope.Scope
> => {
  const own = storageOf(dtype)
  const stored = own === "f32" || own === "f16" || own === "bf16" ? own : "i32"
  return Effect.map(
    Gpu.upload(stored, "elements", { elements: data.length }, arrayOf(stored, data)),
    (flat) => ({ ...flat, axes, shape }),
  )
}

/** Uploads an array as f32, which queries are: of the shape that the case gives, right or wrong. */
export const widened = <const A extends string>(
  axes: A,
  { shape, data }: Tensor,
): Effect.Effect<AnyTensor<"f32", A>, ShapeMismatch | GpuFault, Gpu | Scope.Scope> =>
  Effect.map(
    Gpu.upload("f32", "elements", { elements: data.length }, Float32Array.from(data)),
    (flat) => ({ ...flat, axes, shape }),
  )
