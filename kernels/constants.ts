/** Numbers that kernels and twins must agree on. @module */

/**
 * `lse` of an attention state that saw nothing. WGSL may assume that no infinity exists, so the identity
 * of the merge is the lowest finite f32 and not −∞.
 */
export const LSE_EMPTY: number = -3.4028234663852886e38

/** The same as WGSL text: a literal which is exactly that f32. */
export const LSE_EMPTY_WGSL: string = "const LSE_EMPTY: f32 = -0x1.fffffep+127f;"

/**
 * `cap · tanh(score / cap)` as WGSL text. A shader's tanh has an absolute error, which a cap far above the scores
 * would multiply: so below 1/4 its series stands in.
 */
export const SOFT_CAP_WGSL: string = /* wgsl */ `
// tanh of more than 15 is 1 in f32, and may overflow on the way; of less than 1/4 its series is closer.
fn soft_capped(score: f32, cap: f32) -> f32 {
  let x = clamp(score / cap, -15.0, 15.0);
  let y = x * x;
  let rest = y * (0.33333334 - y * (0.13333334 - y * (0.053968254 - y * 0.021869488)));
  let near = select(cap * tanh(x), score - score * rest, y < 0.0625);
  return select(near, score, is_nan(score)); // a clamp makes a number of NaN
}
`.trim()

/**
 * Whether a float is NaN, as WGSL text: by its bits, as a shader may take it that none is. Some devices' `exp` and
 * `log` make numbers of NaN, which would hide that a key or a value is none.
 */
export const IS_NAN_WGSL: string = /* wgsl */ `
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
`.trim()

/** √(2/π), of the tanh approximation of GELU. */
export const GELU_ROOT: number = 0.7978845608028654
