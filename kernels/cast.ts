/** Conversions between f32 and every other form. @module */
import { fromSource, type Into, toSource } from "./cast.wgsl.ts"
import { decode, type Weight, weights } from "./decode.ts"
import { type Family, family } from "./family.ts"
import { fold } from "./grid.ts"
import { bf16OfBits, bitsOf, f16OfBits } from "./half.ts"
import type { ArrayOf } from "./kernel.ts"

/** What f32 is made from. */
export type From = Exclude<Weight, "f32"> | "i32" | "u32"
export type { Into }

const to = {
  name: "to_f32",
  bindings: { x: "read D[n]", out: "write f32[n]" },
  overrides: { WG: "u32" },
  params: { n: "u32" },
} as const

const from = {
  name: "from_f32",
  bindings: { x: "read f32[n]", out: "write D[n]" },
  overrides: { WG: "u32" },
  params: { n: "u32" },
} as const

/** Decodes in pieces of whole blocks, so that the scratch stays small. */
const decodeAll = (dtype: Weight, x: ArrayOf[Weight], out: Float32Array, n: number): void => {
  const piece = new Float64Array(1024)
  for (let i = 0; i < n; i += piece.length) {
    const count = Math.min(piece.length, n - i)
    decode[dtype](x, i, count, piece, 0)
    out.set(piece.subarray(0, count), i)
  }
}

/** The kernels to f32, by the dtype of `x`. */
export const toF32: Family<typeof to, From> = family(
  to,
  [...weights.filter((dtype) => dtype !== "f32"), "i32", "u32"],
  {
    source: toSource,
    grid: ({ n }, { WG }) => fold(n, WG),
    twin: (dtype) => ({ x, out }, _, { n }) => {
      if (x instanceof Int32Array || x instanceof Uint32Array) out.set(x)
      else decodeAll(dtype as Weight, x, out, n) // i32 and u32 went the other way
    },
  },
)

// The largest f32 below 2³¹ and 2³²: what the shader's clamp can say.
const limits = { i32: [-2147483648, 2147483520], u32: [0, 4294967040] } as const

/** The kernels from f32, by the dtype of `out`. Integers are cut towards zero and clamped to their range. */
export const fromF32: Family<typeof from, Into> = family(
  from,
  ["f16", "bf16", "i32", "u32"] as const,
  {
    source: fromSource,
    grid: ({ n }, { WG }) => fold(n, WG),
    twin: (dtype) => ({ x, out }, _, { n }) => {
      if (dtype === "i32" || dtype === "u32") {
        const [low, high] = limits[dtype]
        for (let i = 0; i < n; i++) out[i] = Math.min(Math.max(x[i]!, low), high)
      } else {
        const bits = bitsOf(x)
        const half = dtype === "f16" ? f16OfBits : bf16OfBits
        for (let i = 0; i < n; i++) out[i] = half(bits[i]!)
      }
    },
  },
)
