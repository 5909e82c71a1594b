/** An f32 weight, whose rows are a multiple of four long, times rows of x. @module */
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"
import { linear } from "./linear.ts"
import { source } from "./linear_f32.wgsl.ts"

const shape = {
  bindings: { x: "read f32[rows k]", weight: "read f32[n k]", out: "write f32[rows n]" },
  overrides: { WG: "u32" },
  params: { rows: "u32", k: "u32", n: "u32" },
} as const
type Spec = typeof shape & { readonly name: string }

const of = (name: string, tokens: number): Kernel.Kernel<Spec> =>
  Kernel.make<Spec>({ name, ...shape }, {
    source: source(tokens),
    grid: ({ rows, n }, { WG }) => fold(Math.ceil(rows / tokens) * Math.ceil(n / 4), WG),
    twin: linear.f32.twin,
  })

/** The kernel for few rows of x. */
export const gemvF32: Kernel.Kernel<Spec> = of("gemv_f32", 1)

/** The kernel for many rows of x. */
export const gemmF32: Kernel.Kernel<Spec> = of("gemm_f32", 4)
