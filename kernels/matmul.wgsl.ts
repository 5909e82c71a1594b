/** matmul.wgsl: one thread an output. @module */
import { threadOf } from "./grid.ts"

/** The shader. */
export const source: string = /* wgsl */ `
// matmul.wgsl: out[i, c] = Σ a[i, j] · b[j, c]
//
// grid      fold(m · n)           workgroup (WG, 1, 1)
// reads     a f32[m, k]           b f32[k, n]
// writes    out f32[m, n]
// moves     a n times over, b m times over: the general shape, for every size
// empty     k = 0 writes zeros
// source    its definition; the reference is matmul.ts
override WG: u32 = 64;
struct Params { m: u32, k: u32, n: u32 }
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.m * params.n) { return; }
  let row = (i / params.n) * params.k;
  let column = i % params.n;
  var sum = 0.0;
  for (var j = 0u; j < params.k; j++) { sum += a[row + j] * b[j * params.n + column]; }
  out[i] = sum;
}
` + threadOf
