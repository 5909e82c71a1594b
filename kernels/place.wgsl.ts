/** place.wgsl: one thread a word. @module */
import { threadOf } from "./grid.ts"

/** The shader. */
export const source: string = /* wgsl */ `
// place.wgsl: out[at + i] = x[i]; the rest of out stays
//
// grid      fold(n)               workgroup (WG, 1, 1)
// reads     x u32[n]
// updates   out u32[size], words at … at + n − 1
// moves     8 bytes a word
// empty     n = 0 does nothing
// source    its definition; the reference is place.ts
override WG: u32 = 64;
struct Params { n: u32, at: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.n) { return; }
  out[params.at + i] = x[i];
}
` + threadOf
