/** Shaders of one thread an element, two reads or one: they differ in one expression. @module */
import { threadOf } from "./grid.ts"

/** `out[i] = value`, an expression of `a[i]` and `b[i]`. */
export const binary = (name: string, value: string): string =>
  /* wgsl */ `
// ${name}.wgsl: out[i] = ${value}
//
// grid      fold(n)               workgroup (WG, 1, 1)
// reads     a, b f32[n]
// writes    out f32[n]
// moves     12 · n bytes
// empty     n = 0 does nothing
// source    its definition; the reference is ${name}.ts
override WG: u32 = 64;
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.n) { return; }
  out[i] = ${value};
}
` + threadOf

/** `out[i] = value`, an expression of `x[i]`. */
export const unary = (name: string, value: string): string =>
  /* wgsl */ `
// ${name}.wgsl: out[i] = ${value}
//
// grid      fold(n)               workgroup (WG, 1, 1)
// reads     x f32[n]
// writes    out f32[n]
// moves     8 · n bytes
// empty     n = 0 does nothing
// source    its definition; the reference is ${name}.ts
override WG: u32 = 64;
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.n) { return; }
  out[i] = ${value};
}
` + threadOf
