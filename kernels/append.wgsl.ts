/** append.wgsl: one thread a word of a row. @module */
import { threadOf } from "./grid.ts"
import { halfBits } from "./half.ts"
import { wgslType } from "./kernel.ts"
import { addressOf, perWord, type Pool } from "./pool.ts"

// Word `word` of the row of `rows` that begins at element `first`; past the end of an odd row is zero.
const wordOf = {
  f32: /* wgsl */ `
fn word_of(first: u32, word: u32) -> f32 { return rows[first + word]; }
`,
  half: /* wgsl */ `
fn word_of(first: u32, word: u32) -> u32 {
  let i = 2u * word;
  let low = half_bits(rows[first + i]);
  if (i + 1u == params.dim) { return low; }
  return low | (half_bits(rows[first + i + 1u]) << 16u);
}
`,
}

const words: Readonly<Record<Pool, string>> = {
  f32: wordOf.f32,
  f16: halfBits.f16 + wordOf.half,
  bf16: halfBits.bf16 + wordOf.half,
}

/** The shader for a pool stored as `D`. */
export const source = (D: Pool): string =>
  /* wgsl */ `
// append.wgsl: writes rows into slots of a pool and copies other slots, each thread a whole 32-bit word
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
${words[D].trim()}
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  let words = (params.dim + PER_WORD - 1u) / PER_WORD;
  if (i >= (params.entries + params.copies) * params.heads * words) { return; }
  let word = i % words;
  let head = (i / words) % params.heads;
  let entry = i / (words * params.heads);
  if (entry < params.entries) {
    let row = params.row_base + entries[2u * entry];
    let to = address(entries[2u * entry + 1u], head) / PER_WORD;
    pool[to + word] = word_of((row * params.heads + head) * params.dim, word);
  } else {
    let copy = entry - params.entries;
    let source = address(copies[2u * copy], head) / PER_WORD;
    let to = address(copies[2u * copy + 1u], head) / PER_WORD;
    pool[to + word] = pool[source + word];
  }
}
` + addressOf + threadOf
