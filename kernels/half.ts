/** 16-bit floats as raw bits: f16 (IEEE binary16) and bf16 (the upper half of an f32). @module */

// Plain loops over f32 bits, about 2 ms: `Float32Array.from` with a function takes five times as long.
const f16Values = (): Float32Array => {
  const bits = new Uint32Array(65_536)
  const values = new Float32Array(bits.buffer)
  for (let i = 0; i < 0x8000; i++) {
    if (i < 0x400) values[i] = i * 2 ** -24
    else bits[i] = i < 0x7c00 ? (i << 13) + 0x3800_0000 : (i << 13) + 0x7000_0000
    bits[0x8000 | i] = bits[i]! | 0x8000_0000
  }
  return values
}

const bf16Values = (): Float32Array => {
  const bits = new Uint32Array(65_536)
  for (let i = 0; i < bits.length; i++) bits[i] = i << 16
  return new Float32Array(bits.buffer)
}

/** The value of every f16 bit pattern. */
export const f16: Float32Array = f16Values()

/** The value of every bf16 bit pattern. */
export const bf16: Float32Array = bf16Values()

/** The bits of an f32 array, not copied. */
export const bitsOf = (x: Float32Array): Uint32Array =>
  new Uint32Array(x.buffer, x.byteOffset, x.length)

/** f16 bits of the f32 whose bits are given: to nearest, ties to even, overflow to infinity. */
export const f16OfBits = (bits: number): number => {
  const sign = (bits >>> 16) & 0x8000
  const size = bits & 0x7fff_ffff
  if (size > 0x7f80_0000) return sign | 0x7e00
  if (size >= 0x4780_0000) return sign | 0x7c00
  // A carry out of the fraction moves to the next exponent, the last of which is infinity.
  if (size >= 0x3880_0000) return sign | ((size - 0x3800_0000 + 0xfff + ((size >> 13) & 1)) >> 13)
  if (size < 0x3300_0000) return sign
  const shift = 126 - (size >> 23)
  const whole = (size & 0x7f_ffff) | 0x80_0000
  const kept = whole >> shift
  return sign | (kept + (((whole & ((1 << shift) - 1)) + (kept & 1)) > 1 << (shift - 1) ? 1 : 0))
}

/** bf16 bits of the f32 whose bits are given: to nearest, ties to even, overflow to infinity. */
export const bf16OfBits = (bits: number): number =>
  (bits & 0x7fff_ffff) > 0x7f80_0000
    ? (bits >>> 16) | 0x40
    : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16

/** The same two conversions in WGSL: the builtin `pack2x16float` may round either way. */
export const halfBits: { readonly f16: string; readonly bf16: string } = {
  f16: /* wgsl */ `
fn half_bits(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return sign | 0x7e00u; }
  if (size >= 0x47800000u) { return sign | 0x7c00u; }
  if (size >= 0x38800000u) {
    return sign | ((size - 0x38000000u + 0xfffu + ((size >> 13u) & 1u)) >> 13u);
  }
  if (size < 0x33000000u) { return sign; }
  let shift = 126u - (size >> 23u);
  let whole = (size & 0x7fffffu) | 0x800000u;
  let kept = whole >> shift;
  let rest = (whole & ((1u << shift) - 1u)) + (kept & 1u);
  return sign | (kept + u32(rest > (1u << (shift - 1u))));
}
`,
  bf16: /* wgsl */ `
fn half_bits(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x40u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}
`,
}
