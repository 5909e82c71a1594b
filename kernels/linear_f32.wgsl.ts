/** linear_f32.wgsl: four rows of an f32 weight and some rows of x a thread, four columns at a time. @module */
import { threadOf } from "./grid.ts"

const four = [0, 1, 2, 3] as const

/** The shader for `tokens` rows of x a thread. */
export const source = (tokens: number): string => {
  const xs = Array.from({ length: tokens }, (_, t) => t)
  const sums = (text: (j: number, t: number) => string): string =>
    four.flatMap((j) => xs.map((t) => text(j, t))).join("")
  return /* wgsl */ `
// linear_f32.wgsl: out[r, j] = Σ x[r, i] · weight[j, i], where k is a multiple of 4
//
// grid      fold(⌈rows / ${tokens}⌉ · ⌈n / 4⌉)               workgroup (WG, 1, 1)
// reads     x f32[rows, k]        weight f32[n, k]
// writes    out f32[rows, n]
// moves     the weight once every ${tokens} rows of x, x once every 4 rows of the weight
// empty     k = 0 writes zeros
// source    its definition; the reference is linear.ts
override WG: u32 = 8;
struct Params { rows: u32, k: u32, n: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  let quads = (params.n + 3u) / 4u;
  if (i >= (params.rows + ${tokens - 1}u) / ${tokens}u * quads) { return; }
  let row = i / quads * ${tokens}u;
  let quad = i % quads * 4u;
  let fours = params.k / 4u;
  // Rows past the last are the last again, and are not written.${
    xs.map((t) => `
  let x${t} = min(row + ${t}u, params.rows - 1u) * fours;`).join("")
  }${
    four.map((j) => `
  let w${j} = min(quad + ${j}u, params.n - 1u) * fours;`).join("")
  }${
    sums((j, t) => `
  var sum_${j}_${t} = vec4f();`)
  }
  for (var c = 0u; c < fours; c++) {${
    xs.map((t) => `
    let v${t} = x[x${t} + c];`).join("")
  }${
    four.map((j) => `
    let f${j} = weight[w${j} + c];`).join("")
  }${
    sums((j, t) => `
    sum_${j}_${t} = fma(f${j}, v${t}, sum_${j}_${t});`)
  }
  }${
    sums((j, t) => `
  if (row + ${t}u < params.rows && quad + ${j}u < params.n) {
    out[(row + ${t}u) * params.n + quad + ${j}u] = dot(sum_${j}_${t}, vec4f(1.0));
  }`)
  }
}
` + threadOf
}
