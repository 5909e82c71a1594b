/** softmax.wgsl: one thread a row. @module */
import { threadOf } from "./grid.ts"

/** The shader. */
export const source: string = /* wgsl */ `
// softmax.wgsl: out[r, i] = exp(x[r, i]) / Σ exp(x[r, j])
//
// grid      fold(rows)            workgroup (WG, 1, 1)
// reads     x f32[rows, n]
// writes    out f32[rows, n]
// moves     20 · n bytes a row: x twice, out written twice and read once
// empty     rows = 0 does nothing
// source    its definition; the reference is softmax.ts
override WG: u32 = 64;
struct Params { rows: u32, n: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = thread_of(id, groups);
  if (row >= params.rows) { return; }
  let base = row * params.n;
  var most = x[base];
  for (var i = 1u; i < params.n; i++) { most = max(most, x[base + i]); }
  var sum = 0.0;
  for (var i = 0u; i < params.n; i++) {
    let weight = exp(x[base + i] - most);
    out[base + i] = weight;
    sum += weight;
  }
  for (var i = 0u; i < params.n; i++) { out[base + i] /= sum; }
}
` + threadOf
