/** Mistakes in products. @module */
import { inside, type Mutant } from "./mutant.ts"

/** Those of weights and rows. */
export const multiplying: ReadonlyArray<Mutant> = [
  ...inside("kernels/linear.ts", [
    ["out[r1 * n + j] = c", "out[r1 * n + j] = a", "the second row of x is the first"],
    [
      "decode[dtype](weight, j1 * k, k, v, 0)",
      "decode[dtype](weight, j * k, k, v, 0)",
      "the second row of the weight is the first",
    ],
    ["x, r * k, out, r * n)", "x, 0, out, r * n)", "every row of x is the first"],
    ["Math.min(r + 1, rows - 1)", "r", "rows of x beyond pairs"],
  ]),
  ...inside("kernels/linear.wgsl.ts", [
    ["i % params.n", "i / params.n", "columns and rows swapped"],
    ["j < params.k; j++", "j + 1u < params.k; j++", "the last product is left out"],
    ["x[row * params.k + j]", "x[j]", "every row of x is the first"],
  ]),
  ...inside("kernels/linear_f32.ts", [
    [
      "fold(Math.ceil(rows / tokens) *",
      "fold(Math.floor(rows / tokens) *",
      "the last rows of x are left out",
    ],
    ["Math.ceil(n / 4), WG)", "Math.floor(n / 4), WG)", "the last rows of the weight are left out"],
    ["twin: linear.f32.twin", "twin: linear.f16.twin", "the twin reads halves"],
  ]),
  ...inside("kernels/linear_f32.wgsl.ts", [
    ["&& quad + ${j}u < params.n", "", "rows of the weight past the last are written"],
    [
      "sum_${j}_${t} = fma(f${j}, v${t}, sum_${j}_${t})",
      "sum_${j}_${t} = fma(f0, v${t}, sum_${j}_${t})",
      "every row of the weight is the first",
    ],
    ["min(row + ${t}u, params.rows - 1u) * fours", "row * fours", "every row of x is the first"],
    ["vec4f(1.0))", "vec4f(1.0, 1.0, 1.0, 0.0))", "the last column of four is dropped"],
  ]),
  ...inside("kernels/matmul.ts", [
    ["x * b[j * n + c]!", "x * b[c * k + j]!", "the second is transposed"],
    ["row.fill(0)", "", "rows add up"],
    ["a[i * k + j]!", "a[j * k + i]!", "the first is transposed"],
  ]),
  ...inside("kernels/matmul.wgsl.ts", [
    ["b[j * params.n + column]", "b[column * params.k + j]", "the second is transposed"],
    [
      "(i / params.n) * params.k",
      "(i / params.n) * params.n",
      "rows as long as those of the second",
    ],
    ["j < params.k; j++", "j + 1u < params.k; j++", "the last product is left out"],
  ]),
  ...inside("kernels/embed.ts", [
    ["ids[t]! - first", "ids[t]!", "parts of a table begin with row 0"],
    ["else row.fill(0)", "", "an id of another part repeats the row before"],
    ["id < vocab)", "id <= vocab)", "the first row of the next part"],
  ]),
  ...inside("kernels/embed.wgsl.ts", [
    ["ids[i / params.d] - params.first", "ids[i / params.d]", "parts of a table begin with row 0"],
    ["if (row < params.vocab) {", "if (row + 1u < params.vocab) {", "the last row is zeros"],
    [
      "table_at(row * params.d + column)",
      "table_at(column * params.vocab + row)",
      "the table is transposed",
    ],
    [
      "table_at(row, column, params.d)",
      "table_at(row, column, params.d + 32u)",
      "a tiled table of other columns",
    ],
  ], ["property-tests/kernels/tiles.test.ts"]),
  ...inside("kernels/gemv.ts", [
    [
      "untile(dtype, weight, axes.n, axes.k)",
      "untile(dtype, weight, axes.k, axes.n)",
      "the twin's rows and columns swapped",
    ],
    ["fold(rows * n / 4, WG)", "fold(rows * n / 8, WG)", "half of the outputs are left out"],
    [
      "{ x, weight: stored, out }, params",
      "{ x, weight: stored, out: out.slice() }, params",
      "the twin writes nothing",
    ],
  ]),
  ...inside("kernels/gemv.wgsl.ts", [
    [
      "fma(scales_${name}.least, vec4f(all.x + all.y + all.z + all.w), ${name}_sum)",
      "${name}_sum",
      "the least of a group dropped",
    ],
    ["all += first + second;", "all += first;", "half of x is left out of the least"],
    ["row * params.k / 4u", "0u", "every row of x is the first"],
    ["out[i] = weight_sum", "out[i] = weight_sum.yxzw", "rows of the weight swapped"],
  ]),
  ...inside("kernels/gemv_add.ts", [
    ["{ a: residual, b: out, out }", "{ a: out, b: out, out }", "the twin adds the product twice"],
    ["fold(rows * n / 4, WG)", "fold(rows * n / 8, WG)", "half of the outputs are left out"],
    [
      "gemv[dtype].twin({ x, weight, out }, params, axes, overrides)",
      "",
      "the twin drops the product",
    ],
  ]),
  ...inside("kernels/gemv_add.wgsl.ts", [
    ["residual[i] + weight_sum", "weight_sum", "the residual is dropped"],
    ["residual[i] + weight_sum", "residual[i] - weight_sum", "the product is subtracted"],
    ["residual[i] + weight_sum", "residual[0] + weight_sum", "the residual is its first four"],
  ]),
  ...inside("kernels/gated.ts", [
    ["weight: up, out }", "weight: gate, out }", "the twin's gate twice"],
    ['gatedBy("gelu", gelu.twin)', 'gatedBy("gelu", silu.twin)', "the twin's gelu is silu"],
    [
      "mul.twin({ a: open, b: out, out }, { n }, { n }, overrides)",
      "",
      "the twin's gate is dropped",
    ],
  ]),
  ...inside("kernels/gated.wgsl.ts", [
    ["open * up_sum", "open * gate_sum", "the shader's gate twice"],
    ["exp(min(-gate_sum", "exp(min(gate_sum", "silu's sign"],
    ["0.044715 * gate_sum * gate_sum", "0.044715 * gate_sum", "gelu's cube is a square"],
  ]),
  ...inside("kernels/gemm.ts", [
    [
      "fold(Math.ceil(rows / 4) * n / 16",
      "fold(Math.floor(rows / 4) * n / 16",
      "the last rows of x are left out",
    ],
    ["n / 16, WG)", "n / 32, WG)", "half of the outputs are left out"],
    [
      "twin: (dtype) => gemv[dtype].twin",
      "twin: () => gemv.q8_0_tiled.twin",
      "the twin reads every form as q8_0",
    ],
  ]),
  ...inside("kernels/gemm.wgsl.ts", [
    [
      "  if (row + ${t}u < params.rows) {",
      "  if (row + ${t}u + 1u < params.rows) {",
      "the last row is not written",
    ],
    ["sixteen % 2u * 4u", "0u", "odd sixteens are even ones"],
    [
      "fma(${numbers}, scale_${q}_${shift}, least_${q})",
      "(${numbers} * scale_${q}_${shift})",
      "the least of a group dropped",
    ],
    ["`${numbers} * scale_${q}`", "numbers", "the scale is dropped"],
    ["min(row + ${t}u, params.rows - 1u)", "row", "every row of x is the first"],
  ]),
]
