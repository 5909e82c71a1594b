/** scale.wgsl: one thread an element. @module */
import { threadOf } from "./grid.ts"

/** The shader. */
export const source: string = /* wgsl */ `
// scale.wgsl: out[i] = factor · x[i]
//
// grid      fold(n)               workgroup (WG, 1, 1)
// reads     x f32[n]
// writes    out f32[n]
// moves     8 · n bytes
// empty     n = 0 does nothing
// source    its definition; the reference is scale.ts
override WG: u32 = 64;
struct Params { n: u32, factor: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.n) { return; }
  out[i] = params.factor * x[i];
}
` + threadOf
