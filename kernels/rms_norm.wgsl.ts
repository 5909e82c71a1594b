/** rms_norm.wgsl: one workgroup a row. @module */
import { reduce } from "./reduce.wgsl.ts"

/** The shader. */
export const source: string = /* wgsl */ `
// rms_norm.wgsl: out[r, i] = x[r, i] · weight[i] / √(mean over i of x² + eps)
//
// grid      rows workgroups, folded                        workgroup (WG, 1, 1)
// reads     x f32[rows, d]        weight f32[d]
// writes    out f32[rows, d]
// moves     12 · d bytes a row and the weight once a row
// shared    4 · WG bytes
// empty     rows = 0 does nothing
// source    Zhang and Sennrich 2019, Root Mean Square Layer Normalization
override WG: u32 = 64;
struct Params { rows: u32, d: u32, eps: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let base = row * params.d;
  var sum = 0.0;
  for (var i = lane; i < params.d; i += WG) { sum += x[base + i] * x[base + i]; }
  let scale = inverseSqrt(sum_of(lane, sum) / f32(params.d) + params.eps);
  for (var i = lane; i < params.d; i += WG) { out[base + i] = x[base + i] * scale * weight[i]; }
}
` + reduce
