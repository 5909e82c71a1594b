/** How a shader reads an element of a tiled binding: text of a function `<name>_at(row, column, columns) -> f32`. @module */
import type { Tiled } from "./kernel.ts"
import { columnsOf, storedOf } from "./tile.ts"

// Word w of row r of a tile is word 32 · w + r of it; see tile.ts.
const tiled: { readonly [D in Tiled]: (name: string) => string } = {
  f16_tiled: (name) => /* wgsl */ `
  let word = ${name}[tile * 512u + (c / 2u) * 32u + r];
  return unpack2x16float(word >> (16u * (c & 1u))).x;`,
  bf16_tiled: (name) => /* wgsl */ `
  let word = ${name}[tile * 512u + (c / 2u) * 32u + r];
  return bitcast<f32>((word >> (16u * (c & 1u))) << 16u);`,
  q8_0_tiled: (name) => /* wgsl */ `
  let word = ${name}[tile * 272u + (c / 4u) * 32u + r];
  let q = bitcast<i32>(word << (24u - 8u * (c % 4u))) >> 24u;
  let scales = ${name}[tile * 272u + 256u + r / 2u];
  return f32(q) * unpack2x16float(scales >> (16u * (r & 1u))).x;`,
  q4_0_tiled: (name) => /* wgsl */ `
  let word = ${name}[tile * 144u + (c % 16u / 4u) * 32u + r];
  let q = (word >> (8u * (c % 4u) + c / 16u * 4u)) & 15u;
  let scales = ${name}[tile * 144u + 128u + r / 2u];
  return (f32(q) - 8.0) * unpack2x16float(scales >> (16u * (r & 1u))).x;`,
  q4_1_tiled: (name) => /* wgsl */ `
  let word = ${name}[tile * 160u + (c % 16u / 4u) * 32u + r];
  let q = (word >> (8u * (c % 4u) + c / 16u * 4u)) & 15u;
  let scales = unpack2x16float(${name}[tile * 160u + 128u + r]);
  return f32(q) * scales.x + scales.y;`,
  q5_0_tiled: (name) => /* wgsl */ `
  let low = (${name}[tile * 176u + (1u + c % 16u / 4u) * 32u + r] >> (8u * (c % 4u) + c / 16u * 4u)) & 15u;
  let high = (${name}[tile * 176u + r] >> c) & 1u;
  let scales = ${name}[tile * 176u + 160u + r / 2u];
  return (f32(low | (high << 4u)) - 16.0) * unpack2x16float(scales >> (16u * (r & 1u))).x;`,
  q4_K_tiled: (name) => /* wgsl */ `
  let word = ${name}[tile * 1152u + (c / 32u * 4u + c % 16u / 4u) * 32u + r];
  let q = (word >> (8u * (c % 4u) + c % 32u / 16u * 4u)) & 15u;
  let at = tile * 1152u + 1024u + r;
  let scales = unpack2x16float(${name}[at]);
  let shift = 8u * (c / 32u % 4u);
  let first = ${name}[at + 32u] >> shift;
  let second = ${name}[at + 64u] >> shift;
  let third = ${name}[at + 96u] >> shift;
  let late = c > 127u;
  let scale = select(first & 63u, (third & 15u) | ((first >> 2u) & 48u), late);
  let least = select(second & 63u, ((third >> 4u) & 15u) | ((second >> 2u) & 48u), late);
  return f32(q * scale) * scales.x - f32(least) * scales.y;`,
  q6_K_tiled: (name) => /* wgsl */ `
  let at = tile * 1680u + r;
  let group = c / 16u;
  let low = (${name}[at + (group * 3u + 1u + c % 8u / 4u) * 32u] >> (8u * (c % 4u) + c % 16u / 8u * 4u)) & 15u;
  let high = (${name}[at + group * 96u] >> (8u * (c % 4u) + c % 16u / 4u * 2u)) & 3u;
  let scale = bitcast<i32>(${name}[at + (48u + group / 4u) * 32u] << (24u - 8u * (group % 4u))) >> 24u;
  let d = unpack2x16float(${name}[tile * 1680u + 1664u + r / 2u] >> (16u * (r & 1u))).x;
  return f32((i32(low | (high << 4u)) - 32) * scale) * d;`,
}

/** Text of `fn <name>_at(row, column, columns) -> f32` for the storage binding `name` of a tiled dtype. */
export const loadTiled = (name: string, dtype: Tiled): string => {
  const wide = columnsOf[storedOf[dtype]]
  return `
fn ${name}_at(row: u32, column: u32, columns: u32) -> f32 {
  let tile = row / 32u * (columns / ${wide}u) + column / ${wide}u;
  let r = row % 32u;
  let c = column % ${wide}u;${tiled[dtype](name)}
}
`
}
