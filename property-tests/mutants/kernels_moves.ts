/** Mistakes in kernels that work element by element. @module */
import { inside, type Mutant } from "./mutant.ts"

/** Those of activations and copies. */
export const moving: ReadonlyArray<Mutant> = [
  ...inside("kernels/add.ts", [
    ['"a[i] + b[i]"', '"a[i] - b[i]"', "the shader subtracts"],
    ['"a[i] + b[i]"', '"a[i] + a[i]"', "the shader adds the first twice"],
    ["a[i]! + b[i]!", "a[i]!", "the second is dropped"],
  ]),
  ...inside("kernels/mul.ts", [
    ['"a[i] * b[i]"', '"a[i] + b[i]"', "the shader adds"],
    ['"a[i] * b[i]"', '"b[i] * b[i]"', "the shader squares"],
    ["a[i]! * b[i]!", "a[i]! * b[0]!", "the twin multiplies by the first"],
  ]),
  ...inside("kernels/add_bias.ts", [
    ["+ bias[i]!", "+ bias[r]!", "a bias a row"],
    ["+ bias[i]!", "", "the bias is dropped"],
    [
      "rows, d }, { WG }) => fold(rows * d",
      "rows, d }, { WG }) => fold(rows * d / 2",
      "half of the rows are left out",
    ],
  ]),
  ...inside("kernels/add_bias.wgsl.ts", [
    ["bias[i % params.d]", "bias[i / params.d]", "a bias a row"],
    [
      "i >= params.rows * params.d",
      "i + 1u >= params.rows * params.d",
      "the last element is left out",
    ],
    ["x[i] + bias", "x[i] - bias", "the bias is subtracted"],
  ]),
  ...inside("kernels/scale.ts", [
    ["Math.fround(factor)", "1", "the factor is dropped"],
    ["x[i]! * f", "x[i]! / f", "the twin divides"],
    ["out[i] = x[i]! * f", "out[0] = x[i]! * f", "only the first is written"],
  ]),
  ...inside("kernels/scale.wgsl.ts", [
    ["params.factor * x[i]", "x[i]", "the factor is dropped"],
    ["params.factor * x[i]", "params.factor + x[i]", "the factor is added"],
    ["i >= params.n", "i + 1u >= params.n", "the last element is left out"],
  ]),
  ...inside("kernels/silu.ts", [
    ["exp(min(-x[i], 88.0))", "exp(min(x[i], 88.0))", "the shader's sign"],
    ["(1.0 + exp", "(2.0 + exp", "the shader's sigmoid"],
    ["Math.exp(-x[i]!)", "Math.exp(x[i]!)", "the twin's sign"],
  ]),
  ...inside("kernels/gelu.ts", [
    ["tanh(clamp(${GELU_ROOT} *", "tanh(clamp(", "the shader drops √(2/π)"],
    ["0.044715 * x[i] * x[i]", "0.044715 * x[i]", "the shader's cube is a square"],
    ["0.044715 * v * v", "0.044715 * v", "the twin's cube is a square"],
  ]),
  ...inside("kernels/cast.ts", [
    ["[-2147483648, 2147483520]", "[-2147483648, 2147483648]", "2³¹ is no i32"],
    ["u32: [0, 4294967040]", "u32: [-1, 4294967040]", "negative numbers wrap around"],
    ['dtype === "f16" ? f16OfBits : bf16OfBits', "f16OfBits", "bf16 is stored as f16"],
    [
      "out.set(piece.subarray(0, count), i)",
      "out.set(piece.subarray(0, count))",
      "pieces go over each other",
    ],
  ]),
  ...inside("kernels/cast.wgsl.ts", [
    ["half_bits(x[i + 1u]) << 16u", "half_bits(x[i]) << 16u", "the second of a word is the first"],
    ["(params.n + 1u) / 2u", "params.n / 2u", "the end of an odd tensor is left out"],
    ['"0.0", "4294967040.0"', '"1.0", "4294967040.0"', "0 becomes 1"],
  ]),
  ...inside("kernels/concat.ts", [
    ["at + aRun)", "at)", "the second goes over the first"],
    [
      "b.subarray(outer * bRun, (outer + 1) * bRun)",
      "b.subarray(0, bRun)",
      "every run of the second is its first",
    ],
    [
      "a.subarray(outer * aRun, (outer + 1) * aRun)",
      "a.subarray(outer * bRun, (outer + 1) * aRun)",
      "runs of the first as long as those of the second",
    ],
  ]),
  ...inside("kernels/concat.wgsl.ts", [
    ["inner < params.a_run", "inner <= params.a_run", "one more of the first"],
    [
      "b[outer * params.b_run + inner - params.a_run]",
      "b[outer * params.b_run + inner]",
      "the second begins late",
    ],
    [
      "a[outer * params.a_run + inner]",
      "a[outer * params.b_run + inner]",
      "runs of the first as long as those of the second",
    ],
  ]),
  ...inside("kernels/strided.ts", [
    ["let at = offset +", "let at =", "the offset is dropped"],
    ["i2 * stride2", "i2 * stride3", "strides swapped"],
    ["at += stride3", "at++", "the last stride is 1"],
  ]),
  ...inside("kernels/strided.wgsl.ts", [
    ["x[params.offset + i0", "x[i0", "the offset is dropped"],
    ["i3 * params.stride3", "i3", "the last stride is 1"],
    ["(i / params.size3) % params.size2", "(i / params.size3) % params.size1", "sizes swapped"],
  ]),
  ...inside("kernels/place.ts", [
    ["out.set(x, at)", "out.set(x)", "words go to the beginning"],
    ["out.set(x, at)", "out.set(x, at + 1)", "words go one too far"],
    ["out.set(x, at)", "out.fill(0).set(x, at)", "the rest does not stay"],
  ]),
  ...inside("kernels/place.wgsl.ts", [
    ["out[params.at + i] = x[i]", "out[i] = x[i]", "words go to the beginning"],
    ["out[params.at + i] = x[i]", "out[params.at + i] = x[0]", "every word is the first"],
    ["i >= params.n", "i + 1u >= params.n", "the last word is left out"],
  ]),
]
