/** concat.wgsl: one thread an element. @module */
import { threadOf } from "./grid.ts"

/** The shader. */
export const source: string = /* wgsl */ `
// concat.wgsl: out = a run of a, a run of b, the next run of a, …
//
// grid      fold(n)               workgroup (WG, 1, 1)
// reads     a f32[a_size]         b f32[b_size]
// writes    out f32[n], n = a_size + b_size
// moves     8 bytes an element
// empty     n = 0 does nothing
// source    its definition; the reference is concat.ts
override WG: u32 = 64;
struct Params { n: u32, a_run: u32, b_run: u32 }
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.n) { return; }
  let outer = i / (params.a_run + params.b_run);
  let inner = i % (params.a_run + params.b_run);
  if (inner < params.a_run) {
    out[i] = a[outer * params.a_run + inner];
  } else {
    out[i] = b[outer * params.b_run + inner - params.a_run];
  }
}
` + threadOf
