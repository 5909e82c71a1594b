/** rope.wgsl: one thread a pair of elements. @module */
import { threadOf } from "./grid.ts"
import { circle } from "./turns.ts"

const pair = {
  interleaved: "vec2u(2u * p, 2u * p + 1u)",
  half: "vec2u(p, p + params.pairs)",
}

/** The shader for a pairing. */
export const source = (pairing: "interleaved" | "half"): string =>
  /* wgsl */ `
// rope.wgsl: turns pair p of each head by positions[t] times its frequency; copies elements past the pairs
//
// grid      fold(tokens · heads · ceil(d / 2))            workgroup (WG, 1, 1)
// reads     x f32[tokens, heads, d]                       positions u32[tokens]
//           turns u32[pairs, 2]: 0.64 fixed point, of turns.ts
// writes    out f32[tokens, heads, d]
// moves     8 bytes an element
// empty     tokens = 0 does nothing; pairs = 0 copies
// precision the turn is exact to 2^-32, cosine and sine to about 1e-7, at every position
// source    Su et al. 2021, RoFormer
override WG: u32 = 64;
struct Params { tokens: u32, heads: u32, d: u32, pairs: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> turns: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

fn pair_of(p: u32) -> vec2u { return ${pair[pairing]}; }

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  let pairs = (params.d + 1u) / 2u;
  if (i >= params.tokens * params.heads * pairs) { return; }
  let p = i % pairs;
  let base = (i / pairs) * params.d;
  if (p >= params.pairs) {
    out[base + 2u * p] = x[base + 2u * p];
    if (2u * p + 1u < params.d) { out[base + 2u * p + 1u] = x[base + 2u * p + 1u]; }
    return;
  }
  let turn = turn_of(positions[i / (pairs * params.heads)], turns[2u * p], turns[2u * p + 1u]);
  let c = circle(turn).x;
  let s = circle(turn).y;
  let at = vec2u(base) + pair_of(p);
  let v = vec2f(x[at.x], x[at.y]);
  out[at.x] = v.x * c - v.y * s;
  out[at.y] = v.x * s + v.y * c;
}
` + circle + threadOf
