/** linear.wgsl: one thread an output. @module */
import type { Weight } from "./decode.ts"
import { threadOf } from "./grid.ts"
import { wgslType } from "./kernel.ts"
import { load } from "./load.wgsl.ts"

/** The shader for a weight stored as `D`. */
export const source = (D: Weight): string =>
  /* wgsl */ `
// linear.wgsl: out[r, j] = Σ x[r, i] · weight[j, i]
//
// grid      fold(rows · n)        workgroup (WG, 1, 1)
// reads     x f32[rows, k]        weight ${D}[n, k]
// writes    out f32[rows, n]
// moves     weight once a row of x, x n times over: the general shape, for every size
// empty     k = 0 writes zeros
// source    its definition; the reference is linear.ts
override WG: u32 = 64;
struct Params { rows: u32, k: u32, n: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<${wgslType(D)}>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.rows * params.n) { return; }
  let row = i / params.n;
  let column = i % params.n;
  var sum = 0.0;
  for (var j = 0u; j < params.k; j++) {
    sum += x[row * params.k + j] * weight_at(column * params.k + j);
  }
  out[i] = sum;
}
` + load("weight", D) + threadOf
