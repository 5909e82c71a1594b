/** append.wgsl: one thread a word of a row, or a row of int8. @module */
import { threadOf } from "./grid.ts"
import { halfBits } from "./half.ts"
import { rows } from "./int8.ts"
import { wgslType } from "./kernel.ts"
import { addressOf, perWord, type Pool } from "./pool.ts"

// `parts_of_row` is how many threads a row has. They write the row of `rows` that begins at element `first`, or copy the
// one at word `source` of the pool, to word `to`.
const words = /* wgsl */ `
fn parts_of_row() -> u32 { return (params.dim + PER_WORD - 1u) / PER_WORD; }
fn write_part(first: u32, to: u32, word: u32) { pool[to + word] = word_of(first, word); }
fn copy_part(source: u32, to: u32, word: u32) { pool[to + word] = pool[source + word]; }
`

// Past the end of an odd row is zero.
const half = /* wgsl */ `
fn word_of(first: u32, word: u32) -> u32 {
  let i = 2u * word;
  let low = half_bits(rows[first + i]);
  if (i + 1u == params.dim) { return low; }
  return low | (half_bits(rows[first + i + 1u]) << 16u);
}
`

const stores: Readonly<Record<Pool, string>> = {
  f32: /* wgsl */ `
fn word_of(first: u32, word: u32) -> f32 { return rows[first + word]; }
` + words,
  f16: halfBits.f16 + half + words,
  bf16: halfBits.bf16 + half + words,
  int8: rows,
}

/** The shader for a pool stored as `D`. */
export const source = (D: Pool): string =>
  /* wgsl */ `
// append.wgsl: writes rows into slots of a pool and copies other slots, each thread ${
    D === "int8" ? "a row" : "a whole 32-bit word"
  }
//
// grid      fold((entries + copies) · heads · dim)        workgroup (WG, 1, 1)
// reads     rows f32[rows, heads, dim]
//           entries u32[entries, 2]: row after row_base, slot
//           copies u32[copies, 2]: slot, slot
// updates   pool ${D}[pool]: base, strides and rows are whole words
// moves     4 bytes in and the row out an entry; a row in and out a copy
// empty     entries + copies = 0 does nothing
// source    its definition; the reference is append.ts
override WG: u32 = 64;
struct Params {
  entries: u32, copies: u32, heads: u32, dim: u32, row_base: u32,
  base: u32, block_size: u32, block_stride: u32, head_stride: u32, slot_stride: u32,
}
@group(0) @binding(0) var<storage, read> rows: array<f32>;
@group(0) @binding(1) var<storage, read> entries: array<u32>;
@group(0) @binding(2) var<storage, read> copies: array<u32>;
@group(0) @binding(3) var<storage, read_write> pool: array<${wgslType(D)}>;
@group(0) @binding(4) var<uniform> params: Params;
const PER_WORD = ${perWord[D]}u;
${stores[D].trim()}
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  let parts = parts_of_row();
  if (i >= (params.entries + params.copies) * params.heads * parts) { return; }
  let part = i % parts;
  let head = (i / parts) % params.heads;
  let entry = i / (parts * params.heads);
  if (entry < params.entries) {
    let row = params.row_base + entries[2u * entry];
    let to = address(entries[2u * entry + 1u], head) / PER_WORD;
    write_part((row * params.heads + head) * params.dim, to, part);
  } else {
    let copy = entry - params.entries;
    let source = address(copies[2u * copy], head) / PER_WORD;
    let to = address(copies[2u * copy + 1u], head) / PER_WORD;
    copy_part(source, to, part);
  }
}
` + addressOf + threadOf
