/** Mistakes in kernels that work row by row. @module */
import { inside, type Mutant } from "./mutant.ts"

/** Those of norms, positions and draws. */
export const reducing: ReadonlyArray<Mutant> = [
  ...inside("kernels/softmax.ts", [
    ["weights[i]! / sum", "weights[i]!", "the twin does not divide"],
    ["Math.exp(x[r * n + i]! - max)", "Math.exp(x[r * n + i]!)", "large numbers overflow"],
    ["let sum = 0\n", "let sum = 1\n", "the sum begins with 1"],
  ]),
  ...inside("kernels/softmax.wgsl.ts", [
    ["out[base + i] /= sum;", "", "the shader does not divide"],
    ["exp(x[base + i] - most)", "exp(x[base + i])", "large numbers overflow"],
    ["  sum = sum_of(lane, sum);\n", "", "each lane divides by its own sum"],
  ]),
  ...inside("kernels/reduce.wgsl.ts", [
    [
      "for (var i = 0u; i < WG; i++) { sum +=",
      "for (var i = 1u; i < WG; i++) { sum +=",
      "the first lane is left out of sums",
    ],
    [
      "i++) { most = max(most, shares[i]); }",
      "i++) { most = shares[i]; }",
      "the largest is that of the last lane",
    ],
    ["var sum = 0.0;", "var sum = own;", "a lane counts twice"],
  ]),
  ...inside("kernels/rms_norm.ts", [
    ["sum / d + eps", "sum + eps", "a sum for the mean"],
    ["* scale * weight[i]!", "* scale", "the weight is dropped"],
    ["sum / d + eps", "sum / d", "eps is dropped"],
  ]),
  ...inside("kernels/rms_norm.wgsl.ts", [
    [" / f32(params.d) + params.eps", " + params.eps", "a sum for the mean"],
    [" * scale * weight[i]", " * scale", "the weight is dropped"],
    ["sum_of(lane, sum)", "sum", "each lane has a mean of its own"],
  ]),
  ...inside("kernels/rope.ts", [
    ["[1, pairs] : [2, 1]", "[2, 1] : [1, pairs]", "the twin's pairings swapped"],
    ["u * cos - v * sin", "u * cos + v * sin", "the twin turns the other way"],
    ["positions[t]!)", "t)", "positions are places in the batch"],
    ["out.set(x.subarray(0, tokens * width))", "", "what is not rotated is lost"],
  ]),
  ...inside("kernels/rope.wgsl.ts", [
    [
      'half: "vec2u(p, p + params.pairs)"',
      'half: "vec2u(p, p + params.d / 2u)"',
      "halves of the whole head",
    ],
    ["v.x * s + v.y * c", "v.x * s - v.y * c", "the shader's sign"],
    ["positions[i / (pairs * params.heads)]", "positions[i / pairs]", "a position a head"],
    ["if (2u * p + 1u < params.d) { out", "if (false) { out", "the end of a head is not copied"],
  ]),
  ...inside("kernels/turns.ts", [
    [
      "turns[2 * p]! * 2 ** -32 + turns[2 * p + 1]! * 2 ** -64",
      "turns[2 * p + 1]! * 2 ** -32",
      "words of a turn swapped",
    ],
    [
      "position * high + mul_high(position, low)",
      "position * high",
      "the shader drops the low word",
    ],
    [
      "case 1u: { return vec2f(-s, c); }",
      "case 1u: { return vec2f(s, c); }",
      "the second quarter's sign",
    ],
    ["+ (high >> 16u) + carry", "+ carry", "half of a product is lost"],
  ]),
  ...inside("kernels/argmax.ts", [
    ["> x[r * n + best]!", ">= x[r * n + best]!", "the last of equal ones"],
    ["out[r] = best", "out[r] = best + r * n", "an index of the whole tensor"],
    ["let i = 1; i < n", "let i = 1; i < n - 1", "the last element is left out"],
  ]),
  ...inside("kernels/argmax.wgsl.ts", [
    [
      "if (lane == 0u) { out[row] = best.id; }",
      "if (lane == 0u) { out[row] = own.id; }",
      "the best of the first lane",
    ],
    ["Best(x[row * params.n + i], i)", "Best(x[i], i)", "every row is the first"],
    ["i < params.n; i += WG", "i + 1u < params.n; i += WG", "the last element is left out"],
  ]),
  ...inside("kernels/best.wgsl.ts", [
    [
      "a.value == b.value && a.id < b.id",
      "a.value == b.value && a.id > b.id",
      "the last of equal ones",
    ],
    ["if (a.id == NONE.id) { return b; }", "", "nothing is 0, which beats what is negative"],
    [
      "for (var i = 0u; i < WG; i++) { best",
      "for (var i = 1u; i < WG; i++) { best",
      "the first lane is left out",
    ],
  ]),
  ...inside("kernels/noise.ts", [
    ["z ^= z >>> 16\n", "", "the twin's bits"],
    ["v ^= v >> vec3u(16u);\n", "", "the shader's bits"],
    ["-Math.log(-Math.log1p", "Math.log(-Math.log1p", "the twin's noise has the other sign"],
    [
      "if (v >= 0.125) { return -log(-log(1.0 - v)); }",
      "if (v >= 0.125) { return log(-log(1.0 - v)); }",
      "the shader's noise has the other sign",
    ],
  ]),
  ...inside("kernels/sample.ts", [
    ["count(from) >= topK", "count(from) > topK", "one token more than top k"],
    ["mass(from) >= enough", "mass(from) > 2 * enough", "twice the mass of top p"],
    ["|| weights[i]! < minP", "", "min p dropped"],
    ["(row[i]! - max) / temperature + gumbel", "(row[i]! - max) + gumbel", "temperature dropped"],
    ["bits === 0x8000_0000 ? bits : ", "", "two zeros"],
    ["position, i)\n", "0, i)\n", "every position draws alike"],
  ]),
  ...inside("kernels/sample.wgsl.ts", [
    ["totals[i] >= enough)", "totals[i] > enough)", "one token more than top k"],
    ["|| weight_of(x, row.most) < params.min_p", "", "min p dropped"],
    ["/ params.temperature + gumbel", "+ gumbel", "temperature dropped"],
    ["params.top_p * totals[0]", "params.top_p", "top p of the sum of weights"],
    [
      "let position = noise[2u * place + 1u]",
      "let position = noise[2u * place]",
      "the seed for the position",
    ],
  ]),
]
