/** add_bias.wgsl: one thread an element. @module */
import { threadOf } from "./grid.ts"

/** The shader. */
export const source: string = /* wgsl */ `
// add_bias.wgsl: out[r, i] = x[r, i] + bias[i]
//
// grid      fold(rows · d)        workgroup (WG, 1, 1)
// reads     x f32[rows, d]        bias f32[d]
// writes    out f32[rows, d]
// moves     12 bytes an element
// empty     rows = 0 does nothing
// source    its definition; the reference is add_bias.ts
override WG: u32 = 64;
struct Params { rows: u32, d: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.rows * params.d) { return; }
  out[i] = x[i] + bias[i % params.d];
}
` + threadOf
