// append.wgsl: writes rows into slots of a pool and copies other slots, each thread a whole 32-bit word
//
// grid      fold((entries + copies) · heads · dim)        workgroup (WG, 1, 1)
// reads     rows f32[rows, heads, dim]
//           entries u32[entries, 2]: row after row_base, slot
//           copies u32[copies, 2]: slot, slot
// updates   pool f16[pool]: base, strides and rows are whole words
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
@group(0) @binding(3) var<storage, read_write> pool: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;
const PER_WORD = 2u;
fn half_bits(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return sign | 0x7e00u; }
  if (size >= 0x47800000u) { return sign | 0x7c00u; }
  if (size >= 0x38800000u) {
    return sign | ((size - 0x38000000u + 0xfffu + ((size >> 13u) & 1u)) >> 13u);
  }
  if (size < 0x33000000u) { return sign; }
  let shift = 126u - (size >> 23u);
  let whole = (size & 0x7fffffu) | 0x800000u;
  let kept = whole >> shift;
  let rest = (whole & ((1u << shift) - 1u)) + (kept & 1u);
  return sign | (kept + u32(rest > (1u << (shift - 1u))));
}

fn word_of(first: u32, word: u32) -> u32 {
  let i = 2u * word;
  let low = half_bits(rows[first + i]);
  if (i + 1u == params.dim) { return low; }
  return low | (half_bits(rows[first + i + 1u]) << 16u);
}

fn parts_of_row() -> u32 { return (params.dim + PER_WORD - 1u) / PER_WORD; }
fn write_part(first: u32, to: u32, word: u32) { pool[to + word] = word_of(first, word); }
fn copy_part(source: u32, to: u32, word: u32) { pool[to + word] = pool[source + word]; }
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

fn address(slot: u32, head: u32) -> u32 {
  return params.base + (slot / params.block_size) * params.block_stride +
    head * params.head_stride + (slot % params.block_size) * params.slot_stride;
}

fn thread_of(id: vec3u, groups: vec3u) -> u32 { return id.y * groups.x * WG + id.x; }
