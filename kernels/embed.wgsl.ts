/** embed.wgsl: one thread an element. @module */
import { threadOf } from "./grid.ts"
import { type DType, wgslType } from "./kernel.ts"
import { load } from "./load.wgsl.ts"

/** The shader for a table stored as `D`. */
export const source = (D: DType): string =>
  /* wgsl */ `
// embed.wgsl: out[t, i] = table[ids[t], i]
//
// grid      fold(tokens · d)      workgroup (WG, 1, 1)
// reads     ids u32[tokens]       table ${D}[vocab, d]
// writes    out f32[tokens, d]
// moves     one row of the table a token, and 4 · d bytes out
// empty     tokens = 0 does nothing
// source    its definition; the reference is embed.ts
override WG: u32 = 64;
struct Params { tokens: u32, d: u32 }
@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<${wgslType(D)}>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.tokens * params.d) { return; }
  out[i] = table_at(ids[i / params.d] * params.d + i % params.d);
}
` + load("table", D) + threadOf
