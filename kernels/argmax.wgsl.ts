/** argmax.wgsl: one workgroup a row. @module */
import { best } from "./best.wgsl.ts"

/** The shader. */
export const source: string = /* wgsl */ `
// argmax.wgsl: out[r] = the first i for which x[r, i] is largest
//
// grid      rows workgroups, folded                        workgroup (WG, 1, 1)
// reads     x f32[rows, n]
// writes    out u32[rows]
// moves     4 · n bytes a row
// shared    8 · WG bytes
// empty     rows = 0 does nothing
// source    its definition; the reference is argmax.ts
override WG: u32 = 64;
struct Params { rows: u32, n: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  var own = NONE;
  for (var i = lane; i < params.n; i += WG) { own = better(own, Best(x[row * params.n + i], i)); }
  let best = best_of(lane, own);
  if (lane == 0u) { out[row] = best.id; }
}
` + best
