/** embed.wgsl: one thread an element. @module */
import type { Weight } from "./decode.ts"
import { threadOf } from "./grid.ts"
import { type Tiled, wgslType } from "./kernel.ts"
import { load } from "./load.wgsl.ts"
import { loadTiled } from "./load_tiled.wgsl.ts"
import { isTiled } from "./tile.ts"

/** The shader for a table stored as `D`. */
export const source = (D: Weight | Tiled): string =>
  /* wgsl */ `
// embed.wgsl: out[t, i] = table[ids[t] - first, i]
//
// grid      fold(tokens · d)      workgroup (WG, 1, 1)
// reads     ids u32[tokens]       table ${D}[vocab, d]: rows first … first + vocab - 1 of a longer one
// writes    out f32[tokens, d]
// moves     one row of the table a token, and 4 · d bytes out
// empty     tokens = 0 does nothing; an id that is not among the rows makes zeros
// source    its definition; the reference is embed.ts
override WG: u32 = 64;
struct Params { tokens: u32, vocab: u32, d: u32, first: u32 }
@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<${wgslType(D)}>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.tokens * params.d) { return; }
  // An id below first wraps around, and is past the end too.
  let row = ids[i / params.d] - params.first;
  let column = i % params.d;
  out[i] = 0.0;
  if (row < params.vocab) {
    out[i] = ${
    isTiled(D) ? "table_at(row, column, params.d)" : "table_at(row * params.d + column)"
  };
  }
}
` + (isTiled(D) ? loadTiled("table", D) : load("table", D)) + threadOf
