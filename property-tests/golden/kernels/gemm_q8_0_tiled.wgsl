// gemm.wgsl: out[r, j] = Σ x[r, i] · weight[j, i], for many rows of x
//
// grid      fold(⌈rows / 4⌉ · n / 16)                      workgroup (WG, 1, 1)
// reads     x f32[rows, k]        weight q8_0_tiled[n, k]
// writes    out f32[rows, n]
// moves     the weight once every four rows of x; each weight is made a number once for the four
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
  let sixteens = params.n / 16u;
  if (i >= (params.rows + 3u) / 4u * sixteens) { return; }
  let row = i / sixteens * 4u;
  let sixteen = i % sixteens;
  let count = params.k / 32u;
  // Rows past the last are the last again, and are not written.
  let x0 = min(row + 0u, params.rows - 1u) * (params.k / 4u);
  let x1 = min(row + 1u, params.rows - 1u) * (params.k / 4u);
  let x2 = min(row + 2u, params.rows - 1u) * (params.k / 4u);
  let x3 = min(row + 3u, params.rows - 1u) * (params.k / 4u);
  let lane = sixteen % 2u * 4u;
  var column = 0u;
  let strip = sixteen / 2u * (params.k / 32u) * 68u;
  let scales = strip + 64u;
  // Carried from group to group, so that the loops' ends are not constants: unrolled they are slower.
  var at = strip + lane;
  var sum_0_0 = vec4f();
  var sum_0_1 = vec4f();
  var sum_0_2 = vec4f();
  var sum_0_3 = vec4f();
  var sum_1_0 = vec4f();
  var sum_1_1 = vec4f();
  var sum_1_2 = vec4f();
  var sum_1_3 = vec4f();
  var sum_2_0 = vec4f();
  var sum_2_1 = vec4f();
  var sum_2_2 = vec4f();
  var sum_2_3 = vec4f();
  var sum_3_0 = vec4f();
  var sum_3_1 = vec4f();
  var sum_3_2 = vec4f();
  var sum_3_3 = vec4f();
  for (var group = 0u; group < count; group++) {
    let end = at + 64u;
    let scale_0 = weight_scales(scales, lane + 0u, group).scale;
    let scale_1 = weight_scales(scales, lane + 1u, group).scale;
    let scale_2 = weight_scales(scales, lane + 2u, group).scale;
    let scale_3 = weight_scales(scales, lane + 3u, group).scale;
    for (; at < end; at += 8u) {
      let v0 = x[x0 + column];
      let v1 = x[x1 + column];
      let v2 = x[x2 + column];
      let v3 = x[x3 + column];
      column++;
      {
        let a = weight[at + 0u];
        {
          let f = byte(a, 24u) * scale_0;
          sum_0_0 = fma(f, vec4f(v0.x), sum_0_0);
          sum_0_1 = fma(f, vec4f(v1.x), sum_0_1);
          sum_0_2 = fma(f, vec4f(v2.x), sum_0_2);
          sum_0_3 = fma(f, vec4f(v3.x), sum_0_3);
        }
        {
          let f = byte(a, 16u) * scale_0;
          sum_0_0 = fma(f, vec4f(v0.y), sum_0_0);
          sum_0_1 = fma(f, vec4f(v1.y), sum_0_1);
          sum_0_2 = fma(f, vec4f(v2.y), sum_0_2);
          sum_0_3 = fma(f, vec4f(v3.y), sum_0_3);
        }
        {
          let f = byte(a, 8u) * scale_0;
          sum_0_0 = fma(f, vec4f(v0.z), sum_0_0);
          sum_0_1 = fma(f, vec4f(v1.z), sum_0_1);
          sum_0_2 = fma(f, vec4f(v2.z), sum_0_2);
          sum_0_3 = fma(f, vec4f(v3.z), sum_0_3);
        }
        {
          let f = byte(a, 0u) * scale_0;
          sum_0_0 = fma(f, vec4f(v0.w), sum_0_0);
          sum_0_1 = fma(f, vec4f(v1.w), sum_0_1);
          sum_0_2 = fma(f, vec4f(v2.w), sum_0_2);
          sum_0_3 = fma(f, vec4f(v3.w), sum_0_3);
        }
      }
      {
        let a = weight[at + 1u];
        {
          let f = byte(a, 24u) * scale_1;
          sum_1_0 = fma(f, vec4f(v0.x), sum_1_0);
          sum_1_1 = fma(f, vec4f(v1.x), sum_1_1);
          sum_1_2 = fma(f, vec4f(v2.x), sum_1_2);
          sum_1_3 = fma(f, vec4f(v3.x), sum_1_3);
        }
        {
          let f = byte(a, 16u) * scale_1;
          sum_1_0 = fma(f, vec4f(v0.y), sum_1_0);
          sum_1_1 = fma(f, vec4f(v1.y), sum_1_1);
          sum_1_2 = fma(f, vec4f(v2.y), sum_1_2);
          sum_1_3 = fma(f, vec4f(v3.y), sum_1_3);
        }
        {
          let f = byte(a, 8u) * scale_1;
          sum_1_0 = fma(f, vec4f(v0.z), sum_1_0);
          sum_1_1 = fma(f, vec4f(v1.z), sum_1_1);
          sum_1_2 = fma(f, vec4f(v2.z), sum_1_2);
          sum_1_3 = fma(f, vec4f(v3.z), sum_1_3);
        }
        {
          let f = byte(a, 0u) * scale_1;
          sum_1_0 = fma(f, vec4f(v0.w), sum_1_0);
          sum_1_1 = fma(f, vec4f(v1.w), sum_1_1);
          sum_1_2 = fma(f, vec4f(v2.w), sum_1_2);
          sum_1_3 = fma(f, vec4f(v3.w), sum_1_3);
        }
      }
      {
        let a = weight[at + 2u];
        {
          let f = byte(a, 24u) * scale_2;
          sum_2_0 = fma(f, vec4f(v0.x), sum_2_0);
          sum_2_1 = fma(f, vec4f(v1.x), sum_2_1);
          sum_2_2 = fma(f, vec4f(v2.x), sum_2_2);
          sum_2_3 = fma(f, vec4f(v3.x), sum_2_3);
        }
        {
          let f = byte(a, 16u) * scale_2;
          sum_2_0 = fma(f, vec4f(v0.y), sum_2_0);
          sum_2_1 = fma(f, vec4f(v1.y), sum_2_1);
          sum_2_2 = fma(f, vec4f(v2.y), sum_2_2);
          sum_2_3 = fma(f, vec4f(v3.y), sum_2_3);
        }
        {
          let f = byte(a, 8u) * scale_2;
          sum_2_0 = fma(f, vec4f(v0.z), sum_2_0);
          sum_2_1 = fma(f, vec4f(v1.z), sum_2_1);
          sum_2_2 = fma(f, vec4f(v2.z), sum_2_2);
          sum_2_3 = fma(f, vec4f(v3.z), sum_2_3);
        }
        {
          let f = byte(a, 0u) * scale_2;
          sum_2_0 = fma(f, vec4f(v0.w), sum_2_0);
          sum_2_1 = fma(f, vec4f(v1.w), sum_2_1);
          sum_2_2 = fma(f, vec4f(v2.w), sum_2_2);
          sum_2_3 = fma(f, vec4f(v3.w), sum_2_3);
        }
      }
      {
        let a = weight[at + 3u];
        {
          let f = byte(a, 24u) * scale_3;
          sum_3_0 = fma(f, vec4f(v0.x), sum_3_0);
          sum_3_1 = fma(f, vec4f(v1.x), sum_3_1);
          sum_3_2 = fma(f, vec4f(v2.x), sum_3_2);
          sum_3_3 = fma(f, vec4f(v3.x), sum_3_3);
        }
        {
          let f = byte(a, 16u) * scale_3;
          sum_3_0 = fma(f, vec4f(v0.y), sum_3_0);
          sum_3_1 = fma(f, vec4f(v1.y), sum_3_1);
          sum_3_2 = fma(f, vec4f(v2.y), sum_3_2);
          sum_3_3 = fma(f, vec4f(v3.y), sum_3_3);
        }
        {
          let f = byte(a, 8u) * scale_3;
          sum_3_0 = fma(f, vec4f(v0.z), sum_3_0);
          sum_3_1 = fma(f, vec4f(v1.z), sum_3_1);
          sum_3_2 = fma(f, vec4f(v2.z), sum_3_2);
          sum_3_3 = fma(f, vec4f(v3.z), sum_3_3);
        }
        {
          let f = byte(a, 0u) * scale_3;
          sum_3_0 = fma(f, vec4f(v0.w), sum_3_0);
          sum_3_1 = fma(f, vec4f(v1.w), sum_3_1);
          sum_3_2 = fma(f, vec4f(v2.w), sum_3_2);
          sum_3_3 = fma(f, vec4f(v3.w), sum_3_3);
        }
      }
    }
    at += 4u;
    column += 0u;
  }

  let to = row * (params.n / 4u) + sixteen * 4u;
  if (row + 0u < params.rows) {
    out[to + 0u * (params.n / 4u) + 0u] = sum_0_0;
    out[to + 0u * (params.n / 4u) + 1u] = sum_1_0;
    out[to + 0u * (params.n / 4u) + 2u] = sum_2_0;
    out[to + 0u * (params.n / 4u) + 3u] = sum_3_0;
  }
  if (row + 1u < params.rows) {
    out[to + 1u * (params.n / 4u) + 0u] = sum_0_1;
    out[to + 1u * (params.n / 4u) + 1u] = sum_1_1;
    out[to + 1u * (params.n / 4u) + 2u] = sum_2_1;
    out[to + 1u * (params.n / 4u) + 3u] = sum_3_1;
  }
  if (row + 2u < params.rows) {
    out[to + 2u * (params.n / 4u) + 0u] = sum_0_2;
    out[to + 2u * (params.n / 4u) + 1u] = sum_1_2;
    out[to + 2u * (params.n / 4u) + 2u] = sum_2_2;
    out[to + 2u * (params.n / 4u) + 3u] = sum_3_2;
  }
  if (row + 3u < params.rows) {
    out[to + 3u * (params.n / 4u) + 0u] = sum_0_3;
    out[to + 3u * (params.n / 4u) + 1u] = sum_1_3;
    out[to + 3u * (params.n / 4u) + 2u] = sum_2_3;
    out[to + 3u * (params.n / 4u) + 3u] = sum_3_3;
  }
}

fn byte(a: vec4u, above: u32) -> vec4f {
  return vec4f(bitcast<vec4i>(a << vec4u(above)) >> vec4u(24u));
}
struct Scales { scale: vec4f, least: vec4f }

fn weight_scales(scales: u32, lane: u32, group: u32) -> Scales {
  let tile = scales + group * 68u;
  let eight = weight[tile + lane / 2u];
  let four = select(eight.xy, eight.zw, lane % 2u == 1u);
  let d = vec4f(unpack2x16float(four.x), unpack2x16float(four.y));
  return Scales(d, vec4f());
}

fn thread_of(id: vec3u, groups: vec3u) -> u32 { return id.y * groups.x * WG + id.x; }
