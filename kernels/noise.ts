/**
 * Random numbers as a pure function of a seed, a position and an id: the same on every device, in any order.
 *
 * @module
 */

/** 32 random bits. Source: Jarzynski and Olano 2020, Hash Functions for GPU Rendering (pcg3d). */
export const randomBits = (seed: number, position: number, id: number): number => {
  let x = (Math.imul(seed, 1664525) + 1013904223) | 0
  let y = (Math.imul(position, 1664525) + 1013904223) | 0
  let z = (Math.imul(id, 1664525) + 1013904223) | 0
  x = (x + Math.imul(y, z)) | 0
  y = (y + Math.imul(z, x)) | 0
  z = (z + Math.imul(x, y)) | 0
  x ^= x >>> 16
  y ^= y >>> 16
  z ^= z >>> 16
  return (x + Math.imul(y, z)) >>> 0
}

/** A sample of the standard Gumbel distribution: the argmax of `log p + gumbel` is a draw from p. */
export const gumbel = (seed: number, position: number, id: number): number =>
  -Math.log(-Math.log1p(-(randomBits(seed, position, id) + 0.5) * 2 ** -32))

/**
 * Both in WGSL. WGSL's `log` near 1 is off by up to 2^-21, which would spoil the largest samples: there
 * −log(1 − v) is its series instead.
 */
export const noise: string = /* wgsl */ `
fn random_bits(seed: u32, position: u32, id: u32) -> u32 {
  var v = vec3u(seed, position, id) * 1664525u + 1013904223u;
  v.x += v.y * v.z;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v ^= v >> vec3u(16u);
  return v.x + v.y * v.z;
}

fn gumbel(seed: u32, position: u32, id: u32) -> f32 {
  let v = min((f32(random_bits(seed, position, id)) + 0.5) * 0x1p-32f, 0x1.fffffep-1f);
  if (v >= 0.125) { return -log(-log(1.0 - v)); }
  let series = 1.0 + v * (1.0 / 2.0 + v * (1.0 / 3.0 + v * (1.0 / 4.0 + v * (1.0 / 5.0 +
    v * (1.0 / 6.0 + v * (1.0 / 7.0 + v / 8.0))))));
  return -log(v * series);
}
`
