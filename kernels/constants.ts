/** Numbers that kernels and twins must agree on. @module */

/**
 * `lse` of an attention state that saw nothing. WGSL may assume that no infinity exists, so the identity
 * of the merge is the lowest finite f32 and not −∞.
 */
export const LSE_EMPTY: number = -3.4028234663852886e38

/** The same as WGSL text: a literal which is exactly that f32. */
export const LSE_EMPTY_WGSL: string = "const LSE_EMPTY: f32 = -0x1.fffffep+127f;"

/** √(2/π), of the tanh approximation of GELU. */
export const GELU_ROOT: number = 0.7978845608028654
