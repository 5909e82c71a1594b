/** softmax.wgsl: one workgroup a row. @module */
import { reduce } from "./reduce.wgsl.ts"

/** The shader. */
export const source: string = /* wgsl */ `
// softmax.wgsl: out[r, i] = exp(x[r, i]) / Σ exp(x[r, j])
//
// grid      rows workgroups, folded                        workgroup (WG, 1, 1)
// reads     x f32[rows, n]
// writes    out f32[rows, n]
// moves     20 · n bytes a row: x twice, out written twice and read once
// shared    4 · WG bytes
// empty     rows = 0 does nothing
// source    its definition; the reference is softmax.ts
override WG: u32 = 64;
struct Params { rows: u32, n: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let base = row * params.n;
  var most = x[base];
  for (var i = lane; i < params.n; i += WG) { most = max(most, x[base + i]); }
  most = most_of(lane, most);
  var sum = 0.0;
  for (var i = lane; i < params.n; i += WG) {
    let weight = exp(x[base + i] - most);
    out[base + i] = weight;
    sum += weight;
  }
  sum = sum_of(lane, sum);
  for (var i = lane; i < params.n; i += WG) { out[base + i] /= sum; }
}
` + reduce
