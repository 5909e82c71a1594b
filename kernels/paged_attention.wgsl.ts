/** paged_attention.wgsl: one thread a (token, query head). @module */
import { IS_NAN_WGSL, LSE_EMPTY_WGSL, SOFT_CAP_WGSL } from "./constants.ts"
import { threadOf } from "./grid.ts"
import { wgslType } from "./kernel.ts"
import { loadRow } from "./load.wgsl.ts"
import type { Pool } from "./pool.ts"

/** The shader for pools stored as `D`. */
export const source = (D: Pool): string =>
  /* wgsl */ `
// paged_attention.wgsl: softmax(cap(scale · q · kᵀ)) · v over the positions that a token may see
//
// grid      fold(tokens · num_q_heads)                    workgroup (WG, 1, 1)
// reads     q f32[tokens, num_q_heads, key_dim]
//           keys ${D}[key_pool]           values ${D}[value_pool]
//           block_tables u32[batch, max_blocks]: blocks of a sequence, from position 0
//           visible u32[tokens, 3]: row of block_tables, first visible position, own position
// writes    out f32[tokens, num_q_heads, value_dim]       lse f32[tokens, num_q_heads], natural log
// moves     key_dim + value_dim elements a position, once for each query head; out stays in storage, so that
//           any value_dim works: it is scaled anew only when a larger score comes
// sees      positions from first to its own; with window > 0 only the last window of them, its own included,
//           and those below sinks
// empty     first > position writes out = 0 and lse = LSE_EMPTY
// source    Milakov and Gimelshein 2018, Online normalizer calculation for softmax; Kwon et al. 2023, PagedAttention
override WG: u32 = 64;
struct Params {
  tokens: u32, num_q_heads: u32, key_dim: u32, value_dim: u32, max_blocks: u32,
  key_heads: u32, value_heads: u32, block_size: u32,
  key_base: u32, key_block_stride: u32, key_head_stride: u32, key_slot_stride: u32,
  value_base: u32, value_block_stride: u32, value_head_stride: u32, value_slot_stride: u32,
  scale: f32, soft_cap: f32, window: u32, sinks: u32,
}
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> keys: array<${wgslType(D)}>;
@group(0) @binding(2) var<storage, read> values: array<${wgslType(D)}>;
@group(0) @binding(3) var<storage, read> block_tables: array<u32>;
@group(0) @binding(4) var<storage, read> visible: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;
${LSE_EMPTY_WGSL}

fn key_of(block: u32, offset: u32, head: u32) -> u32 {
  return params.key_base + block * params.key_block_stride + head * params.key_head_stride +
    offset * params.key_slot_stride;
}

fn value_of(block: u32, offset: u32, head: u32) -> u32 {
  return params.value_base + block * params.value_block_stride + head * params.value_head_stride +
    offset * params.value_slot_stride;
}

${IS_NAN_WGSL}
${SOFT_CAP_WGSL}
fn capped(score: f32) -> f32 {
  if (params.soft_cap == 0.0) { return score; }
  return soft_capped(score, params.soft_cap);
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.tokens * params.num_q_heads) { return; }
  let token = i / params.num_q_heads;
  let head = i % params.num_q_heads;
  let key_head = head * params.key_heads / params.num_q_heads;
  let value_head = head * params.value_heads / params.num_q_heads;
  let table = visible[3u * token] * params.max_blocks;
  let first = visible[3u * token + 1u];
  let position = visible[3u * token + 2u];
  var start = first;
  if (params.window > 0u && position + 1u > params.window) {
    start = max(first, position + 1u - params.window);
  }
  let query = i * params.key_dim;
  let result = i * params.value_dim;
  for (var d = 0u; d < params.value_dim; d++) { out[result + d] = 0.0; }
  var most = LSE_EMPTY;
  var sum = 0.0;
  for (var p = first; p <= position; p++) {
    if (p >= params.sinks) { p = max(p, start); }
    let block = block_tables[table + p / params.block_size];
    let offset = p % params.block_size;
    let key = key_of(block, offset, key_head);
    let value = value_of(block, offset, value_head);
    var score = 0.0;
    for (var d = 0u; d < params.key_dim; d++) { score += q[query + d] * keys_in(key, d); }
    score = capped(score * params.scale);
    if (score > most) {
      if (sum > 0.0) {
        let shrink = exp(most - score);
        sum *= shrink;
        for (var d = 0u; d < params.value_dim; d++) { out[result + d] *= shrink; }
      }
      most = score;
    }
    let weight = select(exp(score - most), score, is_nan(score));
    sum += weight;
    for (var d = 0u; d < params.value_dim; d++) { out[result + d] += weight * values_in(value, d); }
  }
  if (first > position) { lse[i] = LSE_EMPTY; return; }
  for (var d = 0u; d < params.value_dim; d++) { out[result + d] /= sum; }
  lse[i] = select(most + log(sum), sum, is_nan(sum));
}
` + loadRow("keys", D) + loadRow("values", D) + threadOf
