// append.wgsl: writes rows into slots of a pool and copies other slots, each thread a row
//
// grid      fold((entries + copies) · heads · dim)        workgroup (WG, 1, 1)
// reads     rows f32[rows, heads, dim]
//           entries u32[entries, 2]: row after row_base, slot
//           copies u32[copies, 2]: slot, slot
// updates   pool int8[pool]: base, strides and rows are whole words
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
const PER_WORD = 4u;
fn parts_of_row() -> u32 { return 1u; }

fn copy_part(source: u32, to: u32, part: u32) {
  for (var i = 0u; i < 1u + (params.dim + 3u) / 4u; i++) { pool[to + i] = pool[source + i]; }
}

fn significand(bits: u32) -> u32 { return (bits & 0x7fffffu) | 0x800000u; }

// Of a row whose largest magnitude has the bits `most`: `units` of its last place are the scale.
fn scale_of(most: u32, units: u32) -> u32 {
  if (most >= 0x7f800000u) { return 0x7fc00000u; }
  let bits = bitcast<i32>(f32(units)) + ((i32(most >> 23u) - 150) << 23u);
  return u32(select(0, bits, bits >= 0x01800000));
}

// Ten places further down everything is less than half a scale.
fn byte_of(bits: u32, exponent: u32, units: u32) -> u32 {
  let size = bits & 0x7fffffffu;
  let step = units << min(exponent - (size >> 23u), 10u);
  let whole = significand(size) / step;
  let rest = significand(size) - whole * step;
  let near = whole + u32(2u * rest + (whole & 1u) > step);
  return select(near, 0u - near, bits > 0x7fffffffu) & 0xffu;
}

fn write_part(first: u32, to: u32, part: u32) {
  var most = 0u;
  for (var i = 0u; i < params.dim; i++) {
    most = max(most, bitcast<u32>(rows[first + i]) & 0x7fffffffu);
  }
  let units = (significand(most) + 63u) / 127u;
  let scale = scale_of(most, units);
  let none = scale == 0u || scale == 0x7fc00000u;
  pool[to] = scale;
  for (var i = 0u; i < params.dim; i += 4u) {
    var four = 0u;
    for (var j = i; j < min(i + 4u, params.dim); j++) {
      four |= byte_of(bitcast<u32>(rows[first + j]), most >> 23u, units) << (8u * (j % 4u));
    }
    pool[to + 1u + i / 4u] = select(four, 0u, none);
  }
}
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
