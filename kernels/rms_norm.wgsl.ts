/** rms_norm.wgsl: one thread a row. @module */
import { threadOf } from "./grid.ts"

/** The shader. */
export const source: string = /* wgsl */ `
// rms_norm.wgsl: out[r, i] = x[r, i] · weight[i] / √(mean over i of x² + eps)
//
// grid      fold(rows)            workgroup (WG, 1, 1)
// reads     x f32[rows, d]        weight f32[d]
// writes    out f32[rows, d]
// moves     12 · d bytes a row and the weight once a row
// empty     rows = 0 does nothing
// source    Zhang and Sennrich 2019, Root Mean Square Layer Normalization
override WG: u32 = 64;
struct Params { rows: u32, d: u32, eps: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = thread_of(id, groups);
  if (row >= params.rows) { return; }
  let base = row * params.d;
  var sum = 0.0;
  for (var i = 0u; i < params.d; i++) { sum += x[base + i] * x[base + i]; }
  let scale = inverseSqrt(sum / f32(params.d) + params.eps);
  for (var i = 0u; i < params.d; i++) { out[base + i] = x[base + i] * scale * weight[i]; }
}
` + threadOf
