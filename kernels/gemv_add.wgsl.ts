/** gemv_add.wgsl: gemv.wgsl onto what is there. @module */
import { functions, main, products } from "./gemv.wgsl.ts"
import type { Tiled } from "./kernel.ts"

/** The shader for a weight stored as `D`. */
export const source = (D: Tiled): string =>
  /* wgsl */ `
// gemv_add.wgsl: out[r, j] = residual[r, j] + Σ x[r, i] · weight[j, i], for few rows of x
//
// grid      fold(rows · n / 4)    workgroup (WG, 1, 1)
// reads     x f32[rows, k]        weight ${D}[n, k]        residual f32[rows, n]
// writes    out f32[rows, n]
// moves     the weight once a row of x, and 8 bytes an output
// empty     rows = 0 does nothing, k = 0 writes the residual
// source    its definition; the order of a weight is in tile.ts
override WG: u32 = 8;
struct Params { rows: u32, k: u32, n: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4u>;
@group(0) @binding(2) var<storage, read> residual: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;
` + main + products(D, ["weight"]) + /* wgsl */ `
  out[i] = residual[i] + weight_sum;
}
` + functions(D, ["weight"])
