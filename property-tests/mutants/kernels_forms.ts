/** Mistakes in stored forms and tiles. @module */
import { inside, type Mutant } from "./mutant.ts"

/** Those of weights as they are stored. */
export const reading: ReadonlyArray<Mutant> = [
  ...inside("kernels/decode.ts", [
    [
      "to[start + i + j] = ((two & 15) - 8) * d",
      "to[start + i + j] = (two & 15) * d",
      "q4_0 has no middle",
    ],
    [
      "to[start + i + j + 16] = (two >> 4) * d + m",
      "to[start + i + j + 16] = (two >> 4) * d",
      "q4_1 drops its least",
    ],
    ["high >> j << 4 & 16", "low >> j << 4 & 16", "q5_0's fifth bits of the other half"],
    ["from[b + s]! >> 6 << 4", "from[b + s]! >> 6 << 3", "q4_K's least of the later groups"],
    [
      "((m & 15 | h << 2 & 48) - 32) * d1",
      "((m & 15 | h << 2 & 48) - 32) * d0",
      "q6_K's second scale",
    ],
    ["int8[from[b + 2 + j]!]! * d", "from[b + 2 + j]! * d", "q8_0 without signs"],
  ]),
  ...inside("kernels/dot.ts", [
    [
      "d += values[w[w3 + i]!]! * v",
      "d += values[w[w2 + i]!]! * v",
      "the fourth row of halves is the third",
    ],
    ["scratch[i + 512]! * v", "scratch[i + 256]! * v", "the third row of a K form is the second"],
    ["b += w[w1 + i]! * v", "b += w[w0 + i]! * v", "the second row of f32 is the first"],
    ["x[from + at + i]!", "x[at + i]!", "K forms meet the first row of x"],
  ]),
  ...inside("kernels/dot_blocks.ts", [
    ["a += int8[w[w0 + i]!]! * d0 * v", "a += w[w0 + i]! * d0 * v", "q8_0 without signs"],
    [
      "b += ((w[w1 + i]! >> 4) - 8) * d1 * v",
      "b += ((w[w1 + i]! >> 4) - 8) * d0 * v",
      "q4_0's scale of another row",
    ],
    [
      "c += ((w[w2 + i]! & 15) * d2 + m2) * v",
      "c += ((w[w2 + i]! & 15) * d2) * v",
      "q4_1 drops its least",
    ],
    ["h3 = w[w3 - 2]! << 4 | w[w3 - 1]! << 12", "h3 = w[w3 - 2]! << 4", "q5_0's last fifth bits"],
  ]),
  ...inside("kernels/load.wgsl.ts", [
    [
      "return (f32(q) - 8.0) * ${name}_half(block)",
      "return f32(q) * ${name}_half(block)",
      "q4_0 has no middle",
    ],
    [
      "f32(q) * ${name}_half(block) + ${name}_half(block + 2u)",
      "f32(q) * ${name}_half(block)",
      "q4_1 drops its least",
    ],
    [
      "f32(q * scale) * ${name}_half(block + 208u)",
      "f32(q) * ${name}_half(block + 208u)",
      "q6_K drops the scales of its groups",
    ],
    [
      "bitcast<f32>((${name}[i / 2u] >> (16u * (i & 1u))) << 16u)",
      "bitcast<f32>(${name}[i / 2u] << 16u)",
      "odd bf16 are even ones",
    ],
    [
      "unpack2x16float(${name}[i / 2u] >> (16u * (i & 1u))).x",
      "unpack2x16float(${name}[i / 2u]).x",
      "odd f16 are even ones",
    ],
    [" * bitcast<f32>(${name}[row / 4u])", "", "int8 drops its scale"],
  ], ["property-tests/kernels/moves.test.ts", "property-tests/kernels/pool.test.ts"]),
  ...inside("kernels/load_tiled.wgsl.ts", [
    [
      "row / 32u * (columns / ${wide}u) + column / ${wide}u",
      "row / 32u + column / ${wide}u",
      "tiles of one column",
    ],
    ["return f32(q) * scales.x + scales.y;", "return f32(q) * scales.x;", "q4_1 drops its least"],
    ["let late = c > 127u;", "let late = c > 128u;", "q4_K's scales of one column"],
    ["* scale) * d;", ") * d;", "q6_K drops the scales of its groups"],
  ]),
  ...inside("kernels/scales.wgsl.ts", [
    ['withLeast("-8.0 * d")', 'withLeast("vec4f()")', "q4_0 has no middle"],
    ["let late = group % 8u > 3u;", "let late = group % 8u > 4u;", "q4_K's scales of one group"],
    ["Scales(scale, -32.0 * scale)", "Scales(scale, -31.0 * scale)", "q6_K's middle off by one"],
    [
      "select(eight.xy, eight.zw, lane % 2u == 1u)",
      "eight.xy",
      "odd lanes have the scales of even ones",
    ],
  ]),
  ...inside("kernels/regroup.ts", [
    ["[8 * pair + w, 8 * pair + 4 + w]", "[8 * pair + w, 8 * pair + 3 + w]", "q4_K's words"],
    [
      "3 * (8 * half + t + later) + 1 + w",
      "3 * (8 * half + t + later) + w",
      "q6_K's bits above lie under the others",
    ],
    ["q4_K: q4K,", "q4_K: [],", "q4_K is not regrouped"],
  ]),
  ...inside("kernels/tile.ts", [
    [
      "const place = i === halves - 1 && halves % 2 === 1 ? i * side + row : word",
      "const place = word",
      "scales of odd forms lie over others",
    ],
    ["i + head < halves ? i + head : i + head - halves", "i", "scales are not last"],
    [
      "((from + row) * across + block) * halves",
      "(from + row + block) * halves",
      "rows of one tile",
    ],
    ["({ from: to, to: from })", "({ from, to })", "untile does not take moves back"],
  ]),
  ...inside("kernels/tile.wgsl.ts", [
    ["a & vec4u(0xffff0000u)", "a << vec4u(16u)", "odd bf16 are even ones"],
    ["fifth(above >> vec4u(16u))", "fifth(above)", "q5_0's later fifth bits"],
    ["byte(a, ${24 - 8 * i}u)", "byte(a, ${8 * i}u)", "q8_0's bytes in the other order"],
    ["shift: i === 7 ? 0 : 4 * i", "shift: 4 * i", "the last half of a byte is scaled"],
    ["(above & vec4u(0x30303030u))", "(above & vec4u(0x10101010u))", "q6_K drops a bit"],
  ]),
]
