/** Mistakes in the kernels that store and read rows of a cache. @module */
import { inside, type Mutant } from "./mutant.ts"

/** Those of append and gather, and what they share. */
export const storing: ReadonlyArray<Mutant> = [
  ...inside("kernels/append.ts", [
    [
      "params.rowBase + entries[2 * e]!",
      "entries[2 * e]!",
      "rows of a layer from the first layer on",
    ],
    [
      "(row * heads + head) * dim, dim, pool",
      "(row * heads) * dim, dim, pool",
      "every head gets the first",
    ],
    [
      "address(params, copies[2 * c + 1]!, head), from, from + size",
      "address(params, copies[2 * c + 1]!, head), from, from + dim",
      "a copy leaves the end of a row",
    ],
    [
      "const from = address(params, copies[2 * c]!, head)",
      "const from = address(params, copies[2 * c]!, 0)",
      "copies take the first head",
    ],
  ]),
  ...inside("kernels/append.wgsl.ts", [
    [
      "params.row_base + entries[2u * entry]",
      "entries[2u * entry]",
      "rows of a layer from the first layer on",
    ],
    ["entry - params.entries;", "entry;", "copies are counted from the entries on"],
    ["if (i + 1u == params.dim) { return low; }", "", "the end of an odd row is not zero"],
    [
      "half_bits(rows[first + i + 1u]) << 16u",
      "half_bits(rows[first + i + 1u]) << 15u",
      "halves overlap",
    ],
    [
      "(i / parts) % params.heads",
      "(i / parts) % (params.heads + 1u)",
      "heads counted by one too many",
    ],
    [
      "(params.entries + params.copies) * params.heads * parts",
      "params.entries * params.heads * parts",
      "copies are left out",
    ],
  ]),
  ...inside("kernels/gather.ts", [
    ["(params.rowBase + t) * heads", "t * heads", "rows of a layer to the first layer"],
    [
      "address(params, slots[t]!, head)",
      "address(params, slots[t]!, 0)",
      "every head is the first",
    ],
    ["+ head) * dim\n", ") * dim\n", "heads go over each other"],
  ]),
  ...inside("kernels/gather.wgsl.ts", [
    ["out[params.row_base * width + i]", "out[i]", "rows of a layer to the first layer"],
    ["(i / params.dim) % params.heads", "0u", "every head is the first"],
    ["slots[i / width]", "slots[i / params.dim]", "a slot a head"],
  ]),
  ...inside("kernels/pool.ts", [
    [
      "slot % p.blockSize * p.slotStride",
      "slot % p.blockSize * p.headStride",
      "strides swapped in the twin",
    ],
    [
      "head * params.head_stride + (slot",
      "head * params.slot_stride + (slot",
      "strides swapped in the shader",
    ],
    [
      "Math.floor(slot / p.blockSize) * p.blockStride",
      "Math.ceil(slot / p.blockSize) * p.blockStride",
      "offset at a block's end",
    ],
    ["bf16: 0, int8: 1 }", "bf16: 0, int8: 0 }", "no room for a row's scale"],
    ["if (n % 2 === 1) pool[at + n] = 0\n", "", "the end of an odd row is not zero"],
    ["f16: halves(f16OfBits)", "f16: halves(bf16OfBits)", "f16 is stored as bf16"],
  ]),
  ...inside("kernels/int8.ts", [
    ["+ ROUND) - ROUND", ") | 0", "int8 cuts instead of rounding"],
    ["0x80_0000) / 127) * unit", "0x80_0000) / 128) * unit", "the scale divides by 128"],
    [
      "Math.max(most, bits[i]! & 0x7fff_ffff)",
      "Math.max(most, bits[i]!)",
      "negative numbers are the largest",
    ],
    ["if (most >= 0x7f80_0000) return NaN\n", "", "a row with an infinity is a row of numbers"],
    ["!]! * scale\n", "!]!\n", "the scale is dropped"],
    ["significand(most) + 63u", "significand(most)", "the shader's scale is cut"],
    ["2u * rest + (whole & 1u) > step", "2u * rest > step", "the shader rounds ties up or down"],
    ["select(near, 0u - near, bits > 0x7fffffffu)", "near", "the shader loses signs"],
    ["scale < 2 ** -124 ? 0", "scale < 2 ** -130 ? 0", "scales that devices flush"],
  ]),
  ...inside("kernels/half.ts", [
    ["+ 0xfff + ((size >> 13) & 1)) >> 13)", "+ 0x1000) >> 13)", "f16 ties go up"],
    ["(bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16", "bits >>> 16", "bf16 is cut"],
    [
      "if (size < 0x3300_0000) return sign",
      "if (size < 0x3800_0000) return sign",
      "subnormal f16 are zero",
    ],
    ["if (size >= 0x4780_0000) return sign | 0x7c00\n", "", "65,536 is no infinity"],
    ["(bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u", "bits >> 16u", "the shader cuts bf16"],
    ["+ 0xfffu + ((size >> 13u) & 1u)", "+ 0xfffu", "the shader's f16 ties go down"],
  ]),
]
