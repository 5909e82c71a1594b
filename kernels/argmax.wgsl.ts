/** argmax.wgsl: one thread a row. @module */
import { threadOf } from "./grid.ts"

/** The shader. */
export const source: string = /* wgsl */ `
// argmax.wgsl: out[r] = the first i for which x[r, i] is largest
//
// grid      fold(rows)            workgroup (WG, 1, 1)
// reads     x f32[rows, n]
// writes    out u32[rows]
// moves     4 · n bytes a row
// empty     rows = 0 does nothing
// source    its definition; the reference is argmax.ts
override WG: u32 = 64;
struct Params { rows: u32, n: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = thread_of(id, groups);
  if (row >= params.rows) { return; }
  let base = row * params.n;
  var best = 0u;
  var most = x[base];
  for (var i = 1u; i < params.n; i++) {
    let value = x[base + i];
    if (value > most) { most = value; best = i; }
  }
  out[row] = best;
}
` + threadOf
