/**
 * Rows of signed bytes under a scale of their own: how a pool stores `int8`.
 *
 * ```text
 * row    scale f32 · bytes i8[dim], padded with zeros to whole words
 * value  byte · scale
 * scale  max |x| / 127, to the nearest whole number of units of the last place of max |x|
 * byte   x / scale to the nearest, ties to even: −127 … 127
 * ```
 *
 * A scale of so few bits makes every value a number of f32: reading rounds nothing, and a row that was read
 * quantises to the same bits again. Twin and shader give the same bits on every device, because the shader
 * divides whole numbers: WGSL lets a quotient of floats be off by 2.5 units.
 *
 * A scale below 2⁻¹²⁴, where devices begin to flush, is zero, and so are all bytes: numbers below 6·10⁻³⁶ are
 * lost. A row with a NaN or an infinity gets the scale NaN and bytes of zero: all of it reads as NaN, and no
 * other row is touched.
 *
 * @module
 */
import { int8 } from "./decode.ts"

// One word seen three ways: a view made for each row takes as long as the row.
const word = new Uint32Array(1)
const float = new Float32Array(word.buffer)
const bytes = new Uint8Array(word.buffer)

// Added and taken away again, it rounds an f64 to a whole number, ties to even.
const ROUND = 3 * 2 ** 51

/** Scale of a row whose largest magnitude is the f32 with these bits. */
const scaleOf = (most: number): number => {
  if (most >= 0x7f80_0000) return NaN
  const unit = 2 ** ((most >>> 23) - 150)
  const scale = Math.round((most & 0x7f_ffff | 0x80_0000) / 127) * unit
  return scale < 2 ** -124 ? 0 : scale
}

/** Stores a row of `n` f32, given with their bits, at byte `at`. */
export const quantise = (
  rows: Float32Array,
  bits: Uint32Array,
  from: number,
  n: number,
  pool: { [index: number]: number },
  at: number,
): void => {
  let most = 0
  for (let i = from; i < from + n; i++) most = Math.max(most, bits[i]! & 0x7fff_ffff)
  const scale = scaleOf(most)
  if (Number.isNaN(scale)) word[0] = 0x7fc0_0000
  else float[0] = scale
  for (let i = 0; i < 4; i++) pool[at + i] = bytes[i]!
  // x / 0 and x / NaN are no numbers of a byte: it becomes zero.
  for (let i = 0; i < n; i++) pool[at + 4 + i] = (rows[from + i]! / scale + ROUND) - ROUND
  for (let i = n; i % 4 > 0; i++) pool[at + 4 + i] = 0
}

/** Reads `n` elements of the row at byte `at`. */
export const dequantise = (
  pool: { readonly [index: number]: number },
  at: number,
  n: number,
  to: Float32Array,
  start: number,
): void => {
  for (let i = 0; i < 4; i++) bytes[i] = pool[at + i]!
  const scale = float[0]!
  for (let i = 0; i < n; i++) to[start + i] = int8[pool[at + 4 + i]!]! * scale
}

/**
 * `quantise` and a copy in WGSL, for append: a thread has a row. A thread a word would look for the largest number
 * once a word: 2 to 8 times slower, measured on software adapters.
 */
export const rows: string = /* wgsl */ `
fn parts_of_row() -> u32 { return 1u; }

fn copy_part(source: u32, to: u32, part: u32) {
  for (var i = 0u; i < 1u + (params.dim + 3u) / 4u; i++) { pool[to + i] = pool[source + i]; }
}

fn significand(bits: u32) -> u32 { return (bits & 0x7fffffu) | 0x800000u; }

// Of a row whose largest magnitude has the bits \`most\`: \`units\` of its last place are the scale.
fn scale_of(most: u32, units: u32) -> u32 {
  if (most >= 0x7f800000u) { return 0x7fc00000u; }
  let bits = bitcast<i32>(f32(units)) + ((i32(most >> 23u) - 150) << 23u);
  return u32(select(0, bits, bits >= 0x01800000));
}

// Ten places further down everything is less than half a scale.
fn byte_of(bits: u32, exponent: u32, units: u32) -> u32 {
  let size = bits & 0x7fffffffu;
  let step = units << min(exponent - (size >> 23u), 10u);
  let whole = significand(size) / step;
  let rest = significand(size) - whole * step;
  let near = whole + u32(2u * rest + (whole & 1u) > step);
  return select(near, 0u - near, bits > 0x7fffffffu) & 0xffu;
}

fn write_part(first: u32, to: u32, part: u32) {
  var most = 0u;
  for (var i = 0u; i < params.dim; i++) {
    most = max(most, bitcast<u32>(rows[first + i]) & 0x7fffffffu);
  }
  let units = (significand(most) + 63u) / 127u;
  let scale = scale_of(most, units);
  let none = scale == 0u || scale == 0x7fc00000u;
  pool[to] = scale;
  for (var i = 0u; i < params.dim; i += 4u) {
    var four = 0u;
    for (var j = i; j < min(i + 4u, params.dim); j++) {
      four |= byte_of(bitcast<u32>(rows[first + j]), most >> 23u, units) << (8u * (j % 4u));
    }
    pool[to + 1u + i / 4u] = select(four, 0u, none);
  }
}
`
