/** gated.wgsl: gemv.wgsl of two weights at once. @module */
import { GELU_ROOT } from "./constants.ts"
import { functions, main, products } from "./gemv.wgsl.ts"
import type { Tiled } from "./kernel.ts"

/** What the first product goes through. */
export type Activation = "silu" | "gelu"

// As silu.ts and gelu.ts have them, for the same reasons.
const activations: { readonly [A in Activation]: string } = {
  silu: "gate_sum / (1.0 + exp(min(-gate_sum, vec4f(88.0))))",
  gelu: `0.5 * gate_sum * (1.0 + tanh(
    clamp(${GELU_ROOT} * gate_sum * (1.0 + 0.044715 * gate_sum * gate_sum), vec4f(-15.0), vec4f(15.0))))`,
}

/** The shader for weights stored as `D`. */
export const source = (D: Tiled, activation: Activation): string =>
  /* wgsl */ `
// gated.wgsl: out[r, j] = ${activation}(Σ x[r, i] · gate[j, i]) · Σ x[r, i] · up[j, i], for few rows of x
//
// grid      fold(rows · n / 4)    workgroup (WG, 1, 1)
// reads     x f32[rows, k]        gate, up ${D}[n, k]
// writes    out f32[rows, n]
// moves     both weights once a row of x, whose elements are read once for both
// empty     rows = 0 does nothing, k = 0 writes zeros
// source    Shazeer 2020, GLU Variants Improve Transformer; the order of a weight is in tile.ts
override WG: u32 = 8;
struct Params { rows: u32, k: u32, n: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> gate: array<vec4u>;
@group(0) @binding(2) var<storage, read> up: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;
` + main + products(D, ["gate", "up"]) + /* wgsl */ `
  let open = ${activations[activation]};
  out[i] = open * up_sum;
}
` + functions(D, ["gate", "up"])
