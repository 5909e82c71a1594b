/** sample.wgsl: one thread a row. @module */
import { threadOf } from "./grid.ts"
import { noise } from "./noise.ts"

/** The shader. */
export const source: string = /* wgsl */ `
// sample.wgsl: draws an id of each row from softmax(logits / temperature), after top-k, top-p and min-p
//
// grid      fold(rows)            workgroup (WG, 1, 1)
// reads     logits f32[rows, vocab]                       noise u32[rows, 2]: seed, position of the token drawn
// writes    out u32[rows]
// moves     4 · vocab bytes a pass: 2 passes, 33 more for top-k, 33 more for top-p
// filters   the kept tokens are those whose order, a u32, is at least a threshold, found by bisection: no sort,
//           and tokens equal to the last one kept stay
// empty     rows = 0 does nothing
// source    Gumbel 1954 (argmax of log p + noise is a draw from p)
override WG: u32 = 64;
struct Params { rows: u32, vocab: u32, temperature: f32, top_k: u32, top_p: f32, min_p: f32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> noise: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

// A u32 that orders as the f32 does; both zeros are one.
fn order_of(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if (bits == 0x80000000u) { return bits; }
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

fn weight_of(x: f32, most: f32) -> f32 { return exp((x - most) / params.temperature); }

fn count(base: u32, threshold: u32) -> u32 {
  var n = 0u;
  for (var i = 0u; i < params.vocab; i++) {
    n += select(0u, 1u, order_of(logits[base + i]) >= threshold);
  }
  return n;
}

fn mass(base: u32, threshold: u32, most: f32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < params.vocab; i++) {
    let x = logits[base + i];
    sum += select(0.0, weight_of(x, most), order_of(x) >= threshold);
  }
  return sum;
}

fn last_of_top_k(base: u32) -> u32 {
  var found = 0u;
  if (params.top_k == 0u) { return found; }
  for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
    if (count(base, found | bit) >= params.top_k) { found |= bit; }
  }
  return found;
}

fn last_of_top_p(base: u32, kept: u32, most: f32) -> u32 {
  if (params.top_p >= 1.0) { return kept; }
  let enough = params.top_p * mass(base, kept, most);
  var found = 0u;
  for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
    if (mass(base, found | bit, most) >= enough) { found |= bit; }
  }
  return found;
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = thread_of(id, groups);
  if (row >= params.rows) { return; }
  let base = row * params.vocab;
  var most = logits[base];
  for (var i = 1u; i < params.vocab; i++) { most = max(most, logits[base + i]); }
  let last = last_of_top_p(base, last_of_top_k(base), most);
  let seed = noise[2u * row];
  let position = noise[2u * row + 1u];
  var best = 0u;
  var best_score = 0.0;
  var drawn = false;
  for (var i = 0u; i < params.vocab; i++) {
    let x = logits[base + i];
    if (order_of(x) < last || weight_of(x, most) < params.min_p) { continue; }
    let score = (x - most) / params.temperature + gumbel(seed, position, i);
    if (!drawn || score > best_score) {
      best = i;
      best_score = score;
      drawn = true;
    }
  }
  out[row] = best;
}
` + noise + threadOf
