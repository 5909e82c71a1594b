// linear.wgsl: out[r, j] = Σ x[r, i] · weight[j, i]
//
// grid      fold(rows · n)        workgroup (WG, 1, 1)
// reads     x f32[rows, k]        weight q8_0[n, k]
// writes    out f32[rows, n]
// moves     weight once a row of x, x n times over: the general shape, for every size
// empty     k = 0 writes zeros
// source    its definition; the reference is linear.ts
override WG: u32 = 64;
struct Params { rows: u32, k: u32, n: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.rows * params.n) { return; }
  let row = i / params.n;
  let column = i % params.n;
  var sum = 0.0;
  for (var j = 0u; j < params.k; j++) {
    sum += x[row * params.k + j] * weight_at(column * params.k + j);
  }
  out[i] = sum;
}

fn weight_byte(at: u32) -> u32 { return (weight[at / 4u] >> (8u * (at % 4u))) & 0xffu; }
fn weight_half(at: u32) -> f32 { return unpack2x16float(weight[at / 4u] >> (8u * (at & 2u))).x; }

fn weight_at(i: u32) -> f32 {
  let block = (i / 32u) * 34u;
  let q = bitcast<i32>(weight_byte(block + 2u + i % 32u) << 24u) >> 24u;
  return f32(q) * weight_half(block);
}

fn thread_of(id: vec3u, groups: vec3u) -> u32 { return id.y * groups.x * WG + id.x; }
