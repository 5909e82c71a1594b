// gemv.wgsl: out[r, j] = Σ x[r, i] · weight[j, i], for few rows of x
//
// grid      fold(rows · n / 4)    workgroup (WG, 1, 1)
// reads     x f32[rows, k]        weight q6_K_tiled[n, k]
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

  let count = params.k / 16u;
  let lane = quad % 8u;
  var column = row * params.k / 4u;
  let strip = quad / 8u * (params.k / 256u) * 420u;
  let scales = strip + 384u;
  // Carried from group to group, so that the loops' ends are not constants: unrolled they are slower.
  var at = strip + lane;
  var weight_sum = vec4f();
  for (var group = 0u; group < count; group++) {
    var all = vec4f();
    var part_weight = vec4f();
    var above_weight = weight[at];
    at += 8u;
    let end = at + 16u;
    for (; at < end; at += 8u) {
      let first = x[column];
      let second = x[column + 2u];
      all += first + second;
      let v = first * vec4f(1.0, 0x1p-8f, 0x1p-16f, 0x1p-24f);
      let w = second * vec4f(1.0, 0x1p-8f, 0x1p-16f, 0x1p-24f);
      column++;
      {
        let a = weight[at + 0u];
        let low = low_of(a, above_weight);
        let high = high_of(a, above_weight);
        above_weight >>= vec4u(2u);
        part_weight = fma(masked(low, 0xffu), vec4f(v.x), part_weight);
        part_weight = fma(masked(low, 0xff00u), vec4f(v.y), part_weight);
        part_weight = fma(masked(low, 0xff0000u), vec4f(v.z), part_weight);
        part_weight = fma(masked(low, 0xff000000u), vec4f(v.w), part_weight);
        part_weight = fma(masked(high, 0xffu), vec4f(w.x), part_weight);
        part_weight = fma(masked(high, 0xff00u), vec4f(w.y), part_weight);
        part_weight = fma(masked(high, 0xff0000u), vec4f(w.z), part_weight);
        part_weight = fma(masked(high, 0xff000000u), vec4f(w.w), part_weight);
      }
    }
    let scales_weight = weight_scales(scales, lane, group);
    weight_sum = fma(scales_weight.scale, part_weight,
      fma(scales_weight.least, vec4f(all.x + all.y + all.z + all.w), weight_sum));
    at += select(0u, 36u, group % 16u == 15u);
    column += 2u;
  }

  out[i] = weight_sum;
}

fn masked(a: vec4u, mask: u32) -> vec4f { return vec4f(bitcast<vec4i>(a & vec4u(mask))); }
fn low_of(a: vec4u, above: vec4u) -> vec4u {
  return (a & vec4u(0xf0f0f0fu)) | ((above & vec4u(0x3030303u)) << vec4u(4u));
}
fn high_of(a: vec4u, above: vec4u) -> vec4u {
  return ((a >> vec4u(4u)) & vec4u(0xf0f0f0fu)) | (above & vec4u(0x30303030u));
}
struct Scales { scale: vec4f, least: vec4f }

fn weight_scales(scales: u32, lane: u32, group: u32) -> Scales {
  let tile = scales + group / 16u * 420u;
  let eight = weight[tile + 32u + lane / 2u];
  let four = select(eight.xy, eight.zw, lane % 2u == 1u);
  let d = vec4f(unpack2x16float(four.x), unpack2x16float(four.y));
  let four_bytes = bitcast<vec4i>(weight[tile + group % 16u / 4u * 8u + lane]);
  let scale = d * vec4f((four_bytes << vec4u(24u - 8u * (group % 4u))) >> vec4u(24u));
  return Scales(scale, -32.0 * scale);
}

fn thread_of(id: vec3u, groups: vec3u) -> u32 { return id.y * groups.x * WG + id.x; }
