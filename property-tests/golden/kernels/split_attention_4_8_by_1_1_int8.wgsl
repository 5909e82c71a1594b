// split_attention.wgsl: softmax(cap(scale · q · kᵀ)) · v over a part of the positions that a token may see
//
// shape     int8 pools, keys of 4 and values of 8
// thread    1 × 1: a strip of adjacent tokens × a pack of query heads that share a key head
// grid      fold(strips, in whole tiles · packs · splits)                 workgroup (WG, 1, 1)
// reads     q f32[tokens, num_q_heads, key_dim]
//           keys int8[key_pool]           values int8[value_pool]
//           block_tables u32[batch, max_blocks]: blocks of a sequence, from position 0
//           visible u32[tokens, 3]: row of block_tables, first visible position, own position
// writes    out f32[splits, tokens, num_q_heads, value_dim]
//           lse f32[splits, tokens, num_q_heads], natural log
// moves     key_dim + value_dim elements a position, once for all that a thread holds
// lanes     neighbours are splits of a strip, or else strips of a tile, which read the same rows at once;
//           the last strips, which see most, come first
// splits    equal parts of the window, in whole blocks or runs of 16; the sinks belong to split 0
// empty     a part without positions writes out = 0 and lse = LSE_EMPTY
// source    Milakov and Gimelshein 2018, Online normalizer calculation for softmax; Dao et al. 2023, Flash-Decoding
override WG: u32 = 8;
struct Params {
  tokens: u32, num_q_heads: u32, key_dim: u32, value_dim: u32, max_blocks: u32,
  key_heads: u32, value_heads: u32, block_size: u32,
  key_base: u32, key_block_stride: u32, key_head_stride: u32, key_slot_stride: u32,
  value_base: u32, value_block_stride: u32, value_head_stride: u32, value_slot_stride: u32,
  scale: f32, soft_cap: f32, window: u32, sinks: u32, splits: u32, tile: u32,
}
@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> keys: array<u32>;
@group(0) @binding(2) var<storage, read> values: array<u32>;
@group(0) @binding(3) var<storage, read> block_tables: array<u32>;
@group(0) @binding(4) var<storage, read> visible: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;
const LSE_EMPTY: f32 = -0x1.fffffep+127f;
const LOG2E: f32 = 1.4426950408889634;
const LN2: f32 = 0.6931471805599453;
// Elements of one load from a pool.
const WIDE: u32 = 4u;

// Positions first … sinks − 1 and start … end − 1; end = 0 is none.
struct Sight { table: u32, first: u32, sinks: u32, start: u32, end: u32 }

fn sight(token: u32, split: u32) -> Sight {
  let table = visible[3u * token] * params.max_blocks;
  let first = visible[3u * token + 1u];
  let end = visible[3u * token + 2u] + 1u;
  if (first >= end) { return Sight(table, 0u, 0u, 0u, 0u); }
  var start = first;
  if (params.window > 0u && end > params.window) { start = max(first, end - params.window); }
  let run = min(params.block_size, 16u);
  let base = start - start % run;
  let share = (end - base + params.splits - 1u) / params.splits;
  let part = (share + run - 1u) / run * run;
  let begin = max(start, base + split * part);
  if (begin >= end) { return Sight(table, 0u, 0u, 0u, 0u); }
  let sinks = select(0u, min(params.sinks, start), split == 0u);
  return Sight(table, first, sinks, begin, min(end, base + split * part + part));
}
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }

// Four signed bytes; `unpack4xI8` is a language feature that not every device has.
fn bytes(word: u32) -> vec4f {
  return vec4f(bitcast<vec4i>(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u));
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  let packs = params.num_q_heads / 1u;
  let strips = (params.tokens + 0u) / 1u;
  let split = i % params.splits;
  let lane = i / params.splits % params.tile;
  let pack = i / (params.splits * params.tile) % packs;
  let strip = i / (params.splits * params.tile * packs) * params.tile + lane;
  if (strip >= strips) { return; }
  let head = pack * 1u;
  let kv_head = head * params.key_heads / params.num_q_heads;
  let factor = params.scale * LOG2E;
  let token0 = min((strips - 1u - strip) * 1u + 0u, params.tokens - 1u);
  let row0 = token0 * params.num_q_heads + head;
  let sight0 = sight(token0, split);
  let q0_0 = q[(row0 + 0u) * 1u + 0u] * factor;
  var s0 = vec4f(); var most0 = LSE_EMPTY; var sum0 = 0.0;
  var o0_0 = vec4f();
  var o0_1 = vec4f();
  var x = vec4f();
  let range = sight0;
  var p = select(range.start, range.first, range.first < range.sinks);
  while (p < range.end) {
    if (p >= range.sinks) { p = max(p, range.start); }
    let offset = p % params.block_size;
    let block = block_tables[range.table + p / params.block_size];
    var stop = min(range.end, p - offset + params.block_size);
    if (p < range.sinks) { stop = min(stop, range.sinks); }
    var key = (params.key_base + block * params.key_block_stride +
      kv_head * params.key_head_stride + offset * params.key_slot_stride) / WIDE;
    var value = (params.value_base + block * params.value_block_stride +
      kv_head * params.value_head_stride + offset * params.value_slot_stride) / WIDE;
    for (; p < stop; p++) {
      s0 = vec4f();
      x = bytes(keys[key + 1u]); s0 = fma(q0_0, x, s0);
      let score0 = ((s0.x + s0.y) + (s0.z + s0.w)) * bitcast<f32>(keys[key]);
      let top0 = max(most0, score0);
      let keep0 = exp2(most0 - top0);
      let w0 = exp2(score0 - top0);
      sum0 = sum0 * keep0 + w0;
      most0 = top0;
      let v0 = w0 * bitcast<f32>(values[value]);
      x = bytes(values[value + 1u]); o0_0 = fma(vec4f(v0), x, o0_0 * keep0);
      x = bytes(values[value + 2u]); o0_1 = fma(vec4f(v0), x, o0_1 * keep0);
      key += params.key_slot_stride / WIDE;
      value += params.value_slot_stride / WIDE;
    }
  }
  let part = split * params.tokens * params.num_q_heads;
  // A sum is compared by its bits: some devices take NaN for 0.
  let at0 = part + row0 + 0u;
  let empty0 = (bitcast<u32>(sum0) & 0x7fffffffu) == 0u;
  let total0 = select(sum0, 1.0, empty0);
  let told0 = select((most0 + log2(total0)) * LN2, total0, is_nan(total0));
  lse[at0] = select(told0, LSE_EMPTY, empty0);
  out[at0 * 2u + 0u] = o0_0 / total0;
  out[at0 * 2u + 1u] = o0_1 / total0;
}

fn thread_of(id: vec3u, groups: vec3u) -> u32 { return id.y * groups.x * WG + id.x; }
