/** strided.wgsl: one thread an element. @module */
import { threadOf } from "./grid.ts"

/** The shader. */
export const source: string = /* wgsl */ `
// strided.wgsl: out[i0, i1, i2, i3] = x[offset + i0 · stride0 + i1 · stride1 + i2 · stride2 + i3 · stride3]
//
// grid      fold(n)               workgroup (WG, 1, 1)
// reads     x f32[size]
// writes    out f32[n], n = size0 · size1 · size2 · size3
// moves     8 bytes an element
// empty     n = 0 does nothing
// source    its definition; the reference is strided.ts
override WG: u32 = 64;
struct Params {
  n: u32, offset: u32, size1: u32, size2: u32, size3: u32,
  stride0: u32, stride1: u32, stride2: u32, stride3: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.n) { return; }
  let i3 = i % params.size3;
  let i2 = (i / params.size3) % params.size2;
  let i1 = (i / (params.size3 * params.size2)) % params.size1;
  let i0 = i / (params.size3 * params.size2 * params.size1);
  out[i] = x[params.offset + i0 * params.stride0 + i1 * params.stride1 + i2 * params.stride2 +
    i3 * params.stride3];
}
` + threadOf
