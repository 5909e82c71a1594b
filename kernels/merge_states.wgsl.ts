/** merge_states.wgsl: one thread an element of the result. @module */
import { LSE_EMPTY_WGSL } from "./constants.ts"
import { threadOf } from "./grid.ts"

/** The shader. */
export const source: string = /* wgsl */ `
// merge_states.wgsl: out[r] = Σ outs[p, r] · exp(lses[p, r]) / Σ exp(lses[p, r]), lse[r] = log Σ exp(lses[p, r])
//
// grid      fold(rows · dim)      workgroup (WG, 1, 1)
// reads     outs f32[parts, rows, dim]                    lses f32[parts, rows], natural log
// writes    out f32[rows, dim]    lse f32[rows]
// moves     4 · parts bytes an element, and lses dim times over
// empty     a part with lse = LSE_EMPTY adds nothing; a row of such parts is zeros and LSE_EMPTY
// source    Dao et al. 2023, Flash-Decoding
override WG: u32 = 64;
struct Params { parts: u32, rows: u32, dim: u32 }
@group(0) @binding(0) var<storage, read> outs: array<f32>;
@group(0) @binding(1) var<storage, read> lses: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
${LSE_EMPTY_WGSL}
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.rows * params.dim) { return; }
  let row = i / params.dim;
  var most = LSE_EMPTY;
  for (var p = 0u; p < params.parts; p++) { most = max(most, lses[p * params.rows + row]); }
  var sum = 0.0;
  var mean = 0.0;
  for (var p = 0u; p < params.parts; p++) {
    let part = p * params.rows + row;
    if (lses[part] == LSE_EMPTY) { continue; }
    let weight = exp(lses[part] - most);
    sum += weight;
    mean += weight * outs[part * params.dim + i % params.dim];
  }
  let first = i % params.dim == 0u;
  if (sum == 0.0) {
    out[i] = 0.0;
    if (first) { lse[row] = LSE_EMPTY; }
  } else {
    out[i] = mean / sum;
    if (first) { lse[row] = most + log(sum); }
  }
}
` + threadOf
