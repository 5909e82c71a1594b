/** cast.wgsl: one thread an element, or a word of two. @module */
import { threadOf } from "./grid.ts"
import { halfBits } from "./half.ts"
import { type DType, type Scaled, type Tiled, wgslType } from "./kernel.ts"
import { load } from "./load.wgsl.ts"

/** What f32 is made into: blocks are quantised by tools that make model files, not here. */
export type Into = "f16" | "bf16" | "i32" | "u32"

/** The shader from `D` to f32. */
export const toSource = (D: Exclude<DType, Tiled | Scaled>): string =>
  /* wgsl */ `
// to_f32.wgsl: out[i] = f32(x[i])
//
// grid      fold(n)               workgroup (WG, 1, 1)
// reads     x ${D}[n]
// writes    out f32[n]
// moves     x, and 4 · n bytes out
// empty     n = 0 does nothing
// source    its definition; the reference is cast.ts
override WG: u32 = 64;
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read> x: array<${wgslType(D)}>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.n) { return; }
  out[i] = x_at(i);
}
` + load("x", D) + threadOf

const halfWords = (half: string): string =>
  half.trim() + /* wgsl */ `
fn words() -> u32 { return (params.n + 1u) / 2u; }
fn word_of(w: u32) -> u32 {
  let i = 2u * w;
  if (i + 1u == params.n) { return half_bits(x[i]); }
  return half_bits(x[i]) | (half_bits(x[i + 1u]) << 16u);
}
`

// Clamped before the conversion: to what lies outside, WGSL has given different answers over time.
const whole = (type: string, low: string, high: string): string =>
  /* wgsl */ `
fn words() -> u32 { return params.n; }
fn word_of(i: u32) -> ${type} { return ${type}(clamp(x[i], ${low}, ${high})); }
`.trimStart()

const words: Readonly<Record<Into, string>> = {
  f16: halfWords(halfBits.f16),
  bf16: halfWords(halfBits.bf16),
  i32: whole("i32", "-2147483648.0", "2147483520.0"),
  u32: whole("u32", "0.0", "4294967040.0"),
}

/** The shader from f32 to `D`. */
export const fromSource = (D: Into): string =>
  /* wgsl */ `
// from_f32.wgsl: out[i] = ${D}(x[i]), a whole 32-bit word a thread
//
// grid      fold(n)               workgroup (WG, 1, 1)
// reads     x f32[n]
// writes    out ${D}[n], to nearest, ties to even; integers towards zero and clamped to their range
// moves     4 · n bytes in, and out
// empty     n = 0 does nothing
// source    its definition; the reference is cast.ts
override WG: u32 = 64;
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<${wgslType(D)}>;
@group(0) @binding(2) var<uniform> params: Params;
${words[D].trim()}
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let word = thread_of(id, groups);
  if (word >= words()) { return; }
  out[word] = word_of(word);
}
` + threadOf
