// split_attention.wgsl: softmax(cap(scale · q · kᵀ)) · v over a part of the positions that a token may see
//
// shape     f16 pools, keys of 8 and values of 16, scores capped
// thread    2 × 2: a strip of adjacent tokens × a pack of query heads that share a key head
// grid      fold(strips, in whole tiles · packs · splits)                 workgroup (WG, 1, 1)
// reads     q f32[tokens, num_q_heads, key_dim]
//           keys f16[key_pool]           values f16[value_pool]
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
@group(0) @binding(1) var<storage, read> keys: array<vec4u>;
@group(0) @binding(2) var<storage, read> values: array<vec4u>;
@group(0) @binding(3) var<storage, read> block_tables: array<u32>;
@group(0) @binding(4) var<storage, read> visible: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;
const LSE_EMPTY: f32 = -0x1.fffffep+127f;
const LOG2E: f32 = 1.4426950408889634;
const LN2: f32 = 0.6931471805599453;
// Elements of one load from a pool.
const WIDE: u32 = 8u;

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

fn sees(s: Sight, table: u32, p: u32) -> bool {
  return s.table == table && ((p >= s.first && p < s.sinks) || (p >= s.start && p < s.end));
}

// Two tokens of one sequence share every load, in one turn; of two sequences, each has a turn.
fn range_of(a: Sight, b: Sight, turn: u32) -> Sight {
  if (a.table != b.table && turn == 0u) { return a; }
  if (a.table != b.table) { return b; }
  if (turn == 1u) { return Sight(a.table, 0u, 0u, 0u, 0u); }
  if (a.end == 0u) { return b; }
  if (b.end == 0u) { return a; }
  return Sight(
    a.table, min(a.first, b.first), max(a.sinks, b.sinks), min(a.start, b.start), max(a.end, b.end),
  );
}

// tanh of more than 15 is 1 in f32, and may overflow on the way; of less than 1/4 its series is closer.
fn soft_capped(score: f32, cap: f32) -> f32 {
  let x = clamp(score / cap, -15.0, 15.0);
  let y = x * x;
  let rest = y * (0.33333334 - y * (0.13333334 - y * (0.053968254 - y * 0.021869488)));
  let near = select(cap * tanh(x), score - score * rest, y < 0.0625);
  return select(near, score, is_nan(score)); // a clamp makes a number of NaN
}
fn capped(score: f32) -> f32 {
  return LOG2E * soft_capped(score, params.soft_cap);
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  let packs = params.num_q_heads / 2u;
  let strips = (params.tokens + 1u) / 2u;
  let split = i % params.splits;
  let lane = i / params.splits % params.tile;
  let pack = i / (params.splits * params.tile) % packs;
  let strip = i / (params.splits * params.tile * packs) * params.tile + lane;
  if (strip >= strips) { return; }
  let head = pack * 2u;
  let kv_head = head * params.key_heads / params.num_q_heads;
  let factor = params.scale;
  let token0 = min((strips - 1u - strip) * 2u + 0u, params.tokens - 1u);
  let row0 = token0 * params.num_q_heads + head;
  let sight0 = sight(token0, split);
  let token1 = min((strips - 1u - strip) * 2u + 1u, params.tokens - 1u);
  let row1 = token1 * params.num_q_heads + head;
  let sight1 = sight(token1, split);
  let q0_0 = q[(row0 + 0u) * 2u + 0u] * factor;
  let q0_1 = q[(row0 + 0u) * 2u + 1u] * factor;
  let q1_0 = q[(row0 + 1u) * 2u + 0u] * factor;
  let q1_1 = q[(row0 + 1u) * 2u + 1u] * factor;
  let q2_0 = q[(row1 + 0u) * 2u + 0u] * factor;
  let q2_1 = q[(row1 + 0u) * 2u + 1u] * factor;
  let q3_0 = q[(row1 + 1u) * 2u + 0u] * factor;
  let q3_1 = q[(row1 + 1u) * 2u + 1u] * factor;
  var s0 = vec4f(); var most0 = LSE_EMPTY; var sum0 = 0.0;
  var s1 = vec4f(); var most1 = LSE_EMPTY; var sum1 = 0.0;
  var s2 = vec4f(); var most2 = LSE_EMPTY; var sum2 = 0.0;
  var s3 = vec4f(); var most3 = LSE_EMPTY; var sum3 = 0.0;
  var o0_0 = vec4f();
  var o0_1 = vec4f();
  var o0_2 = vec4f();
  var o0_3 = vec4f();
  var o1_0 = vec4f();
  var o1_1 = vec4f();
  var o1_2 = vec4f();
  var o1_3 = vec4f();
  var o2_0 = vec4f();
  var o2_1 = vec4f();
  var o2_2 = vec4f();
  var o2_3 = vec4f();
  var o3_0 = vec4f();
  var o3_1 = vec4f();
  var o3_2 = vec4f();
  var o3_3 = vec4f();
  var x = vec4f();
  var word = vec4u();
  var x0 = vec4f();
  var x1 = vec4f();
  for (var turn = 0u; turn < 2u; turn++) {
  let range = range_of(sight0, sight1, turn);
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
      let seen0 = sees(sight0, range.table, p);
      let seen1 = sees(sight1, range.table, p);
      s0 = vec4f();
      s1 = vec4f();
      s2 = vec4f();
      s3 = vec4f();
      word = keys[key + 0u];
      x = vec4f(unpack2x16float(word.x), unpack2x16float(word.y)); s0 = fma(q0_0, x, s0); s1 = fma(q1_0, x, s1); s2 = fma(q2_0, x, s2); s3 = fma(q3_0, x, s3);
      x = vec4f(unpack2x16float(word.z), unpack2x16float(word.w)); s0 = fma(q0_1, x, s0); s1 = fma(q1_1, x, s1); s2 = fma(q2_1, x, s2); s3 = fma(q3_1, x, s3);
      let score0 = select(LSE_EMPTY, capped((s0.x + s0.y) + (s0.z + s0.w)), seen0);
      let top0 = max(most0, score0);
      let keep0 = exp2(most0 - top0);
      let w0 = select(0.0, exp2(score0 - top0), seen0);
      sum0 = sum0 * keep0 + w0;
      most0 = top0;
      let score1 = select(LSE_EMPTY, capped((s1.x + s1.y) + (s1.z + s1.w)), seen0);
      let top1 = max(most1, score1);
      let keep1 = exp2(most1 - top1);
      let w1 = select(0.0, exp2(score1 - top1), seen0);
      sum1 = sum1 * keep1 + w1;
      most1 = top1;
      let score2 = select(LSE_EMPTY, capped((s2.x + s2.y) + (s2.z + s2.w)), seen1);
      let top2 = max(most2, score2);
      let keep2 = exp2(most2 - top2);
      let w2 = select(0.0, exp2(score2 - top2), seen1);
      sum2 = sum2 * keep2 + w2;
      most2 = top2;
      let score3 = select(LSE_EMPTY, capped((s3.x + s3.y) + (s3.z + s3.w)), seen1);
      let top3 = max(most3, score3);
      let keep3 = exp2(most3 - top3);
      let w3 = select(0.0, exp2(score3 - top3), seen1);
      sum3 = sum3 * keep3 + w3;
      most3 = top3;
      word = values[value + 0u];
      x = vec4f(unpack2x16float(word.x), unpack2x16float(word.y)); x0 = select(vec4f(), x, seen0); x1 = select(vec4f(), x, seen1); o0_0 = fma(vec4f(w0), x0, o0_0 * keep0); o1_0 = fma(vec4f(w1), x0, o1_0 * keep1); o2_0 = fma(vec4f(w2), x1, o2_0 * keep2); o3_0 = fma(vec4f(w3), x1, o3_0 * keep3);
      x = vec4f(unpack2x16float(word.z), unpack2x16float(word.w)); x0 = select(vec4f(), x, seen0); x1 = select(vec4f(), x, seen1); o0_1 = fma(vec4f(w0), x0, o0_1 * keep0); o1_1 = fma(vec4f(w1), x0, o1_1 * keep1); o2_1 = fma(vec4f(w2), x1, o2_1 * keep2); o3_1 = fma(vec4f(w3), x1, o3_1 * keep3);
      word = values[value + 1u];
      x = vec4f(unpack2x16float(word.x), unpack2x16float(word.y)); x0 = select(vec4f(), x, seen0); x1 = select(vec4f(), x, seen1); o0_2 = fma(vec4f(w0), x0, o0_2 * keep0); o1_2 = fma(vec4f(w1), x0, o1_2 * keep1); o2_2 = fma(vec4f(w2), x1, o2_2 * keep2); o3_2 = fma(vec4f(w3), x1, o3_2 * keep3);
      x = vec4f(unpack2x16float(word.z), unpack2x16float(word.w)); x0 = select(vec4f(), x, seen0); x1 = select(vec4f(), x, seen1); o0_3 = fma(vec4f(w0), x0, o0_3 * keep0); o1_3 = fma(vec4f(w1), x0, o1_3 * keep1); o2_3 = fma(vec4f(w2), x1, o2_3 * keep2); o3_3 = fma(vec4f(w3), x1, o3_3 * keep3);
      key += params.key_slot_stride / WIDE;
      value += params.value_slot_stride / WIDE;
    }
  }
  }
  let part = split * params.tokens * params.num_q_heads;
  // A sum is compared by its bits: some devices take NaN for 0.
  let at0 = part + row0 + 0u;
  let empty0 = (bitcast<u32>(sum0) & 0x7fffffffu) == 0u;
  let total0 = select(sum0, 1.0, empty0);
  let told0 = select((most0 + log2(total0)) * LN2, total0, is_nan(total0));
  lse[at0] = select(told0, LSE_EMPTY, empty0);
  out[at0 * 4u + 0u] = o0_0 / total0;
  out[at0 * 4u + 1u] = o0_1 / total0;
  out[at0 * 4u + 2u] = o0_2 / total0;
  out[at0 * 4u + 3u] = o0_3 / total0;
  let at1 = part + row0 + 1u;
  let empty1 = (bitcast<u32>(sum1) & 0x7fffffffu) == 0u;
  let total1 = select(sum1, 1.0, empty1);
  let told1 = select((most1 + log2(total1)) * LN2, total1, is_nan(total1));
  lse[at1] = select(told1, LSE_EMPTY, empty1);
  out[at1 * 4u + 0u] = o1_0 / total1;
  out[at1 * 4u + 1u] = o1_1 / total1;
  out[at1 * 4u + 2u] = o1_2 / total1;
  out[at1 * 4u + 3u] = o1_3 / total1;
  let at2 = part + row1 + 0u;
  let empty2 = (bitcast<u32>(sum2) & 0x7fffffffu) == 0u;
  let total2 = select(sum2, 1.0, empty2);
  let told2 = select((most2 + log2(total2)) * LN2, total2, is_nan(total2));
  lse[at2] = select(told2, LSE_EMPTY, empty2);
  out[at2 * 4u + 0u] = o2_0 / total2;
  out[at2 * 4u + 1u] = o2_1 / total2;
  out[at2 * 4u + 2u] = o2_2 / total2;
  out[at2 * 4u + 3u] = o2_3 / total2;
  let at3 = part + row1 + 1u;
  let empty3 = (bitcast<u32>(sum3) & 0x7fffffffu) == 0u;
  let total3 = select(sum3, 1.0, empty3);
  let told3 = select((most3 + log2(total3)) * LN2, total3, is_nan(total3));
  lse[at3] = select(told3, LSE_EMPTY, empty3);
  out[at3 * 4u + 0u] = o3_0 / total3;
  out[at3 * 4u + 1u] = o3_1 / total3;
  out[at3 * 4u + 2u] = o3_2 / total3;
  out[at3 * 4u + 3u] = o3_3 / total3;
}

fn thread_of(id: vec3u, groups: vec3u) -> u32 { return id.y * groups.x * WG + id.x; }
