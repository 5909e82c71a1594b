/** gather.wgsl: one thread an element. @module */
import { threadOf } from "./grid.ts"
import { wgslType } from "./kernel.ts"
import { loadRow } from "./load.wgsl.ts"
import { addressOf, type Pool } from "./pool.ts"

/** The shader for a pool stored as `D`. */
export const source = (D: Pool): string =>
  /* wgsl */ `
// gather.wgsl: out[row_base + t, h, i] = the row of slots[t] and head h
//
// grid      fold(tokens · heads · dim)                    workgroup (WG, 1, 1)
// reads     pool ${D}[pool]      slots u32[tokens]
// updates   out f32[rows, heads, dim], rows row_base … row_base + tokens − 1
// moves     the rows in, and 4 bytes an element out
// empty     tokens = 0 does nothing
// source    its definition; the reference is gather.ts
override WG: u32 = 64;
struct Params {
  tokens: u32, heads: u32, dim: u32, row_base: u32,
  base: u32, block_size: u32, block_stride: u32, head_stride: u32, slot_stride: u32,
}
@group(0) @binding(0) var<storage, read> pool: array<${wgslType(D)}>;
@group(0) @binding(1) var<storage, read> slots: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  let width = params.heads * params.dim;
  if (i >= params.tokens * width) { return; }
  let row = address(slots[i / width], (i / params.dim) % params.heads);
  out[params.row_base * width + i] = pool_in(row, i % params.dim);
}
` + loadRow("pool", D) + addressOf + threadOf
