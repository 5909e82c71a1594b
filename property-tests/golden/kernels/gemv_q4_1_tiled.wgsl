// gemv.wgsl: out[r, j] = Σ x[r, i] · weight[j, i], for few rows of x
//
// grid      fold(rows · n / 4)    workgroup (WG, 1, 1)
// reads     x f32[rows, k]        weight q4_1_tiled[n, k]
// writes    out f32[rows, n]
// moves     the weight once a row of x; eight neighbouring threads read it straight ahead
// empty     rows = 0 does nothing, k = 0 writes zeros
// source    its definition; the order of a weight is in tile.ts
override WG: u32 = 8;
struct Params { rows: u32, k: u32, n: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  let quads = params.n / 4u;
  if (i >= params.rows * quads) { return; }
  let row = i / quads;
  let quad = i % quads;

  let count = params.k / 32u;
  let lane = quad % 8u;
  var column = row * params.k / 4u;
  let strip = quad / 8u * (params.k / 32u) * 40u;
  let scales = strip + 32u;
  // Carried from group to group, so that the loops' ends are not constants: unrolled they are slower.
  var at = strip + lane;
  var weight_sum = vec4f();
  for (var group = 0u; group < count; group++) {
    var all = vec4f();
    var part_weight = vec4f();
    let end = at + 32u;
    for (; at < end; at += 8u) {
      let first = x[column];
      let second = x[column + 4u];
      all += first + second;
      let v = first * vec4f(1.0, 0x1p-8f, 0x1p-16f, 0x1p-24f);
      let w = second * vec4f(0x1p-4f, 0x1p-12f, 0x1p-20f, 1.0);
      column++;
      {
        let a = weight[at + 0u];
        part_weight = fma(masked(a, 0xfu), vec4f(v.x), part_weight);
        part_weight = fma(masked(a, 0xf0u), vec4f(w.x), part_weight);
        part_weight = fma(masked(a, 0xf00u), vec4f(v.y), part_weight);
        part_weight = fma(masked(a, 0xf000u), vec4f(w.y), part_weight);
        part_weight = fma(masked(a, 0xf0000u), vec4f(v.z), part_weight);
        part_weight = fma(masked(a, 0xf00000u), vec4f(w.z), part_weight);
        part_weight = fma(masked(a, 0xf000000u), vec4f(v.w), part_weight);
        part_weight = fma(last(a), vec4f(w.w), part_weight);
      }
    }
    let scales_weight = weight_scales(scales, lane, group);
    weight_sum = fma(scales_weight.scale, part_weight,
      fma(scales_weight.least, vec4f(all.x + all.y + all.z + all.w), weight_sum));
    at += 8u;
    column += 4u;
  }

  out[i] = weight_sum;
}

fn masked(a: vec4u, mask: u32) -> vec4f { return vec4f(bitcast<vec4i>(a & vec4u(mask))); }
fn last(a: vec4u) -> vec4f { return vec4f(bitcast<vec4i>(a >> vec4u(28u))); }
struct Scales { scale: vec4f, least: vec4f }

fn weight_scales(scales: u32, lane: u32, group: u32) -> Scales {
  let tile = scales + group * 40u;
  let four = weight[tile + lane];
  let x = unpack2x16float(four.x);
  let y = unpack2x16float(four.y);
  let z = unpack2x16float(four.z);
  let w = unpack2x16float(four.w);
  let d = vec4f(x.x, y.x, z.x, w.x);
  let m = vec4f(x.y, y.y, z.y, w.y);
  return Scales(d, m);
}

fn thread_of(id: vec3u, groups: vec3u) -> u32 { return id.y * groups.x * WG + id.x; }
