/** rope.wgsl: one thread a pair of elements. @module */
import { threadOf } from "./grid.ts"

const pair = {
  interleaved: "vec2u(2u * p, 2u * p + 1u)",
  half: "vec2u(p, p + params.rotary / 2u)",
}

/** The shader for a pairing. */
export const source = (pairing: "interleaved" | "half"): string =>
  /* wgsl */ `
// rope.wgsl: turns pair p of each head by positions[t] · theta^(-2p / rotary); copies elements past rotary
//
// grid      fold(tokens · heads · ceil(d / 2))            workgroup (WG, 1, 1)
// reads     x f32[tokens, heads, d]                       positions u32[tokens]
// writes    out f32[tokens, heads, d]
// moves     8 bytes an element
// empty     tokens = 0 does nothing; rotary = 0 copies
// precision the angle is an f32: at position 1,000,000 it is off by up to 0.03 rad
// source    Su et al. 2021, RoFormer
override WG: u32 = 64;
struct Params { tokens: u32, heads: u32, d: u32, rotary: u32, theta: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

fn pair_of(p: u32) -> vec2u { return ${pair[pairing]}; }

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  let pairs = (params.d + 1u) / 2u;
  if (i >= params.tokens * params.heads * pairs) { return; }
  let p = i % pairs;
  let base = (i / pairs) * params.d;
  if (2u * p >= params.rotary) {
    out[base + 2u * p] = x[base + 2u * p];
    if (2u * p + 1u < params.d) { out[base + 2u * p + 1u] = x[base + 2u * p + 1u]; }
    return;
  }
  let position = f32(positions[i / (pairs * params.heads)]);
  let angle = position * pow(params.theta, -2.0 * f32(p) / f32(params.rotary));
  let c = cos(angle);
  let s = sin(angle);
  let at = vec2u(base) + pair_of(p);
  let v = vec2f(x[at.x], x[at.y]);
  out[at.x] = v.x * c - v.y * s;
  out[at.y] = v.x * s + v.y * c;
}
` + threadOf
