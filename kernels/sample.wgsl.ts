/** sample.wgsl: one workgroup a row. @module */
import { best } from "./best.wgsl.ts"
import { noise } from "./noise.ts"

/** The shader. Its arrays of WG elements are declared in order of their element types, or naga 29 fails. */
export const source: string = /* wgsl */ `
// sample.wgsl: draws an id of each row from softmax(logits / temperature), after top-k, top-p and min-p
//
// grid      rows workgroups, folded                        workgroup (WG, 1, 1)
// reads     logits f32[rows, vocab]                       noise u32[rows, 2]: seed, position of the token drawn
// writes    out u32[rows]
// moves     4 · vocab bytes a pass: 2 passes, 8 more for top-k, 9 more for top-p
// shared    72 · WG + 64 bytes
// filters   the kept tokens are those whose order, a u32, is at least a threshold, found four bits a pass: no
//           sort, and tokens equal to the last one kept stay
// empty     rows = 0 does nothing
// source    Gumbel 1954 (argmax of log p + noise is a draw from p)
override WG: u32 = 64;
struct Params { rows: u32, vocab: u32, temperature: f32, top_k: u32, top_p: f32, min_p: f32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> noise: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;
` + best + noise + /* wgsl */ `
// One row, as a lane sees it.
struct Row { base: u32, most: f32, lane: u32 }

var<workgroup> parts: array<mat4x4f, WG>;
var<workgroup> totals: array<f32, 16>;

// A u32 that orders as the f32 does; both zeros are one.
fn order_of(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if (bits == 0x80000000u) { return bits; }
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

fn weight_of(x: f32, most: f32) -> f32 { return exp((x - most) / params.temperature); }

// For i from 0 to 15, how many tokens have an order of at least first + (i << shift), or what they weigh.
fn sum_up(row: Row, first: u32, shift: u32, weighed: bool) {
  let from_0 = vec4u(first) + (vec4u(0u, 1u, 2u, 3u) << vec4u(shift));
  let from_4 = from_0 + vec4u(4u << shift);
  let from_8 = from_4 + vec4u(4u << shift);
  let from_12 = from_8 + vec4u(4u << shift);
  var part = mat4x4f();
  for (var i = row.lane; i < params.vocab; i += WG) {
    let x = logits[row.base + i];
    let order = vec4u(order_of(x));
    var weight = vec4f(1.0);
    if (weighed) { weight = vec4f(weight_of(x, row.most)); }
    part += mat4x4f(
      select(vec4f(), weight, order >= from_0),
      select(vec4f(), weight, order >= from_4),
      select(vec4f(), weight, order >= from_8),
      select(vec4f(), weight, order >= from_12),
    );
  }
  parts[row.lane] = part;
  workgroupBarrier();
  for (var i = row.lane; i < 16u; i += WG) {
    var total = 0.0;
    for (var l = 0u; l < WG; l++) { total += parts[l][i / 4u][i % 4u]; }
    totals[i] = total;
  }
  workgroupBarrier();
}

// The highest order such that the tokens from it on are enough, or 0 if all are not.
fn last_of(row: Row, enough: f32, weighed: bool) -> u32 {
  var last = 0u;
  for (var bits = 32u; bits > 0u; bits -= 4u) {
    let shift = bits - 4u;
    sum_up(row, last, shift, weighed);
    var digit = 0u;
    for (var i = 1u; i < 16u; i++) { digit = select(digit, i, totals[i] >= enough); }
    last += digit << shift;
  }
  return last;
}

fn last_kept(row: Row) -> u32 {
  var last = 0u;
  if (params.top_k > 0u) { last = last_of(row, f32(params.top_k), false); }
  if (params.top_p >= 1.0) { return last; }
  sum_up(row, last, 0u, true);
  return last_of(row, params.top_p * totals[0], true);
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let place = group.y * groups.x + group.x;
  if (place >= params.rows) { return; }
  let base = place * params.vocab;
  var own = NONE;
  for (var i = lane; i < params.vocab; i += WG) { own = better(own, Best(logits[base + i], i)); }
  let row = Row(base, best_of(lane, own).value, lane);
  let last = last_kept(row);
  let seed = noise[2u * place];
  let position = noise[2u * place + 1u];
  own = NONE;
  for (var i = lane; i < params.vocab; i += WG) {
    let x = logits[base + i];
    if (order_of(x) < last || weight_of(x, row.most) < params.min_p) { continue; }
    let score = (x - row.most) / params.temperature + gumbel(seed, position, i);
    own = better(own, Best(score, i));
  }
  let drawn = best_of(lane, own);
  if (lane == 0u) { out[place] = drawn.id; }
}
`
