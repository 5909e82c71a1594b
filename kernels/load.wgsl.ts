/**
 * How a shader reads element i of a binding, whatever its dtype: text of a function `<name>_at(i) -> f32`.
 * A function names its binding, because WGSL without extensions passes no pointer to storage.
 *
 * @module
 */
import type { DType, Quantised, Scaled, Tiled } from "./kernel.ts"
import type { Pool } from "./pool.ts"

const bytesOf = (name: string): string => /* wgsl */ `
fn ${name}_byte(at: u32) -> u32 { return (${name}[at / 4u] >> (8u * (at % 4u))) & 0xffu; }
fn ${name}_half(at: u32) -> f32 { return unpack2x16float(${name}[at / 4u] >> (8u * (at & 2u))).x; }
`

// A block is 32 weights. q8_0: f16 d, 32 signed bytes. q4_0: f16 d, 16 bytes. q4_1: f16 d, f16 m, 16 bytes;
// byte j of the last two holds weight j in its low half and weight j + 16 in its high half. q5_0: the same
// halves after f16 d and 32 fifth bits. The K forms are described in decode.ts.
const quantised: { readonly [D in Quantised]: (name: string) => string } = {
  q8_0: (name) => /* wgsl */ `
fn ${name}_at(i: u32) -> f32 {
  let block = (i / 32u) * 34u;
  let q = bitcast<i32>(${name}_byte(block + 2u + i % 32u) << 24u) >> 24u;
  return f32(q) * ${name}_half(block);
}
`,
  q4_0: (name) => /* wgsl */ `
fn ${name}_at(i: u32) -> f32 {
  let block = (i / 32u) * 18u;
  let j = i % 32u;
  let q = (${name}_byte(block + 2u + j % 16u) >> (4u * (j / 16u))) & 15u;
  return (f32(q) - 8.0) * ${name}_half(block);
}
`,
  q4_1: (name) => /* wgsl */ `
fn ${name}_at(i: u32) -> f32 {
  let block = (i / 32u) * 20u;
  let j = i % 32u;
  let q = (${name}_byte(block + 4u + j % 16u) >> (4u * (j / 16u))) & 15u;
  return f32(q) * ${name}_half(block) + ${name}_half(block + 2u);
}
`,
  q5_0: (name) => /* wgsl */ `
fn ${name}_at(i: u32) -> f32 {
  let block = (i / 32u) * 22u;
  let j = i % 32u;
  let low = (${name}_byte(block + 6u + j % 16u) >> (4u * (j / 16u))) & 15u;
  let high = (${name}_byte(block + 2u + j / 8u) >> (j % 8u)) & 1u;
  return (f32(low | (high << 4u)) - 16.0) * ${name}_half(block);
}
`,
  q4_K: (name) => /* wgsl */ `
fn ${name}_at(i: u32) -> f32 {
  let block = (i / 256u) * 144u;
  let s = i % 256u / 32u;
  let at = block + 4u + s;
  var scale: u32;
  var least: u32;
  if (s < 4u) {
    scale = ${name}_byte(at) & 63u;
    least = ${name}_byte(at + 4u) & 63u;
  } else {
    let both = ${name}_byte(at + 4u);
    scale = (both & 15u) | ((${name}_byte(at - 4u) >> 6u) << 4u);
    least = (both >> 4u) | ((${name}_byte(at) >> 6u) << 4u);
  }
  let q = (${name}_byte(block + 16u + s / 2u * 32u + i % 32u) >> (4u * (s % 2u))) & 15u;
  return f32(q * scale) * ${name}_half(block) - f32(least) * ${name}_half(block + 2u);
}
`,
  q6_K: (name) => /* wgsl */ `
fn ${name}_at(i: u32) -> f32 {
  let block = (i / 256u) * 210u;
  let j = i % 256u;
  let part = j % 128u / 32u;
  let low = ${name}_byte(block + j / 128u * 64u + part % 2u * 32u + j % 32u) >> (4u * (part / 2u));
  let high = ${name}_byte(block + 128u + j / 128u * 32u + j % 32u) >> (2u * part);
  let q = i32((low & 15u) | ((high & 3u) << 4u)) - 32;
  let scale = bitcast<i32>(${name}_byte(block + 192u + j / 16u) << 24u) >> 24u;
  return f32(q * scale) * ${name}_half(block + 208u);
}
`,
}

/** Text of `fn <name>_at(i: u32) -> f32` for the storage binding `name` of a dtype. */
export const load = (name: string, dtype: Exclude<DType, Tiled | Scaled>): string => {
  switch (dtype) {
    case "f32":
      return `\nfn ${name}_at(i: u32) -> f32 { return ${name}[i]; }\n`
    case "i32":
    case "u32":
      return `\nfn ${name}_at(i: u32) -> f32 { return f32(${name}[i]); }\n`
    case "f16":
      return `
fn ${name}_at(i: u32) -> f32 { return unpack2x16float(${name}[i / 2u] >> (16u * (i & 1u))).x; }
`
    case "bf16":
      return `
fn ${name}_at(i: u32) -> f32 { return bitcast<f32>((${name}[i / 2u] >> (16u * (i & 1u))) << 16u); }
`
    default:
      return bytesOf(name) + quantised[dtype](name)
  }
}

/**
 * Text of `fn <name>_in(row: u32, i: u32) -> f32` for the pool `name`: element i of the row that begins at
 * element `row`. int8 is described in int8.ts.
 */
export const loadRow = (name: string, dtype: Pool): string =>
  dtype === "int8"
    ? `
fn ${name}_in(row: u32, i: u32) -> f32 {
  let four = ${name}[row / 4u + 1u + i / 4u];
  return f32(bitcast<i32>(four << (24u - 8u * (i % 4u))) >> 24u) * bitcast<f32>(${name}[row / 4u]);
}
`
    : `${load(name, dtype)}fn ${name}_in(row: u32, i: u32) -> f32 { return ${name}_at(row + i); }
`
