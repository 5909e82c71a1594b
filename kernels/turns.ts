/**
 * Angles as fractions of a turn in fixed point, so that a position times a frequency wraps around exactly.
 *
 * An f32 angle is off by 6e-8 of itself, which is 5e-4 at position 8,192; and `sin` and `cos` of WGSL may be off
 * by 5e-4 wherever they stand (SwiftShader's are by 2e-4). Both are avoided here.
 *
 * @module
 */

/**
 * Turns a position as 0.64 fixed point, (high word, low word) a frequency, flat `[pairs, 2]`. Frequencies are
 * radians a position, below 2π; f64 gives them to 53 bits.
 */
export const turnsOf = (frequencies: ReadonlyArray<number>): Uint32Array =>
  Uint32Array.from(frequencies.flatMap((frequency) => {
    const scaled = frequency / (2 * Math.PI) * 2 ** 32
    const high = Math.floor(scaled)
    return [high, Math.floor((scaled - high) * 2 ** 32)]
  }))

/** Radians of pair `p` at a position, in [0, 2π), for a twin. */
export const angleOf = (turns: Uint32Array, p: number, position: number): number => {
  const turn = turns[2 * p]! * 2 ** -32 + turns[2 * p + 1]! * 2 ** -64
  return (position * turn) % 1 * 2 * Math.PI
}

/** The WGSL side: `turn_of` in units of 2^-32 of a turn, and `circle`, its cosine and sine to about 1e-7. */
export const circle: string = /* wgsl */ `
fn mul_high(a: u32, b: u32) -> u32 {
  let al = a & 0xffffu; let ah = a >> 16u;
  let bl = b & 0xffffu; let bh = b >> 16u;
  let low = ah * bl;
  let high = al * bh;
  let carry = (((al * bl) >> 16u) + (low & 0xffffu) + (high & 0xffffu)) >> 16u;
  return ah * bh + (low >> 16u) + (high >> 16u) + carry;
}

fn turn_of(position: u32, high: u32, low: u32) -> u32 {
  return position * high + mul_high(position, low);
}

// Polynomials of cephes' sinf and cosf on an eighth of a turn to both sides of a quarter.
fn circle(turn: u32) -> vec2f {
  let quarter = (turn + 0x20000000u) >> 30u;
  let x = f32(i32(turn - (quarter << 30u))) * 1.4629180792671596e-9;
  let z = x * x;
  let s = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * x + x;
  let c = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z -
    0.5 * z + 1.0;
  switch (quarter & 3u) {
    case 1u: { return vec2f(-s, c); }
    case 2u: { return vec2f(-c, -s); }
    case 3u: { return vec2f(s, -c); }
    default: { return vec2f(c, s); }
  }
}
`
