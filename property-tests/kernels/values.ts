/** Numbers for kernels' properties: stored in any form from a seed, and read again by the letter of the format. @module */
import fc from "fast-check"
import { bf16OfBits, bitsOf, f16OfBits } from "../../kernels/half.ts"
import type { ArrayOf, DType, Quantised, Scaled, Tiled } from "../../kernels/kernel.ts"
import { randomBits } from "../../kernels/noise.ts"
import { formats } from "../../lib/tensor/DType.ts"

/** A seed; two of them make different numbers. */
export const seed: fc.Arbitrary<number> = fc.integer({ min: 0, max: 1 << 20 })

/** A size from 1 on, more often small. */
export const upTo = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max })

/** Numbers between −2 and 2, among them some zeros. */
export const floats = (from: number, n: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => {
    const bits = randomBits(from, 1, i)
    return bits % 16 === 0 ? 0 : bits / 2 ** 30 - 2
  })

/** Whole numbers below `below`. */
export const integers = (from: number, n: number, below: number): Uint32Array =>
  Uint32Array.from({ length: n }, (_, i) => randomBits(from, 2, i) % below)

/** How files and caches store numbers, one by one or in blocks. */
export type Stored = Exclude<DType, Tiled | Scaled>

const isQuantised = (dtype: Stored): dtype is Quantised => formats[dtype].elements > 1

/** Where the f16 of a block are, and their least exponent: the smaller, the larger what they scale. */
const scales: {
  readonly [D in Quantised]: { readonly at: ReadonlyArray<number>; readonly least: number }
} = {
  q8_0: { at: [0], least: -7 },
  q4_0: { at: [0], least: -7 },
  q4_1: { at: [0, 2], least: -7 },
  q5_0: { at: [0], least: -7 },
  q4_K: { at: [0, 2], least: -11 },
  q6_K: { at: [208], least: -11 },
}

// The f16 are of four exponents, and of both signs.
const blocks = (dtype: Quantised, from: number, n: number): Uint8Array => {
  const { elements, bytes } = formats[dtype]
  const { at, least } = scales[dtype]
  const data = Uint8Array.from(
    { length: n / elements * bytes },
    (_, i) => randomBits(from, 3, i) & 255,
  )
  for (let b = 0; b < data.length; b += bytes) {
    for (const high of at.map((at) => b + at + 1)) {
      data[high] = 4 * (least + 15) + data[high]! % 16 | data[high]! & 0x80
    }
  }
  return data
}

/** f32 in a 16-bit form. */
export const halves = (dtype: "f16" | "bf16", x: Float32Array): Uint16Array =>
  Uint16Array.from(bitsOf(x), dtype === "f16" ? f16OfBits : bf16OfBits)

/** `n` stored numbers; n is a multiple of their elements where they are stored in blocks. */
export const stored = (dtype: Stored, from: number, n: number): ArrayOf[Stored] => {
  if (isQuantised(dtype)) return blocks(dtype, from, n)
  if (dtype === "f32") return floats(from, n)
  if (dtype === "u32") return integers(from, n, 1000)
  if (dtype === "i32") return Int32Array.from(integers(from, n, 1000), (x) => x - 500)
  return halves(dtype, floats(from, n))
}

const half = (view: DataView, at: number): number => {
  const bits = view.getUint16(at, true)
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, bits >> 10 & 31, bits & 1023]
  return exponent === 0
    ? sign * fraction * 2 ** -24
    : sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** Six bits of a packed list, as the twelve bytes of q4_K hold them: scale s, then minimum s, for each s. */
const sixBits = (bytes: Uint8Array): ReadonlyArray<readonly [scale: number, least: number]> => {
  const [a, b, c] = [0, 4, 8].map((at) => [...bytes.subarray(at, at + 4)])
  return [
    ...a!.map((x, s) => [x % 64, b![s]! % 64] as const),
    ...c!.map((x, s) =>
      [
        x % 16 + 16 * Math.floor(a![s]! / 64),
        Math.floor(x / 16) + 16 * Math.floor(b![s]! / 64),
      ] as const
    ),
  ]
}

/** All of a stored array as numbers, one by one, as the format's description says. */
export const decoded = (dtype: Stored, x: ArrayOf[DType]): ReadonlyArray<number> => {
  const view = new DataView(x.buffer, x.byteOffset, x.byteLength)
  const { elements, bytes } = formats[dtype]
  return Array.from({ length: x.byteLength / bytes * elements }, (_, i) => {
    const block = Math.floor(i / elements) * bytes
    const j = i % 32
    const nibble = (at: number) => view.getUint8(block + at + j % 16) >> (j < 16 ? 0 : 4) & 15
    switch (dtype) {
      case "f32":
        return view.getFloat32(4 * i, true)
      case "i32":
        return view.getInt32(4 * i, true)
      case "u32":
        return view.getUint32(4 * i, true)
      case "f16":
        return half(view, 2 * i)
      case "bf16": {
        const word = new DataView(new ArrayBuffer(4))
        word.setUint16(2, view.getUint16(2 * i, true), true)
        return word.getFloat32(0, true)
      }
      case "q8_0":
        return view.getInt8(block + 2 + j) * half(view, block)
      case "q4_0":
        return (nibble(2) - 8) * half(view, block)
      case "q4_1":
        return nibble(4) * half(view, block) + half(view, block + 2)
      case "q5_0": {
        const fifth = view.getUint32(block + 2, true) >>> j & 1
        return (nibble(6) + 16 * fifth - 16) * half(view, block)
      }
      case "q4_K": {
        const s = Math.floor(i % 256 / 32)
        const packed = new Uint8Array(view.buffer, view.byteOffset + block + 4, 12)
        const [scale, least] = sixBits(packed)[s]!
        const pair = view.getUint8(block + 16 + 32 * Math.floor(s / 2) + j)
        const q = s % 2 === 0 ? pair % 16 : Math.floor(pair / 16)
        return half(view, block) * scale * q - half(view, block + 2) * least
      }
      case "q6_K": {
        // Of each 128 weights, y[l + 32 p] has four bits in ql and two in qh, p by p.
        const [side, p] = [Math.floor(i % 256 / 128), Math.floor(i % 128 / 32)]
        const ql = view.getUint8(block + 64 * side + [j, j + 32, j, j + 32][p]!)
        const qh = view.getUint8(block + 128 + 32 * side + j)
        const q = (p < 2 ? ql % 16 : Math.floor(ql / 16)) + 16 * (Math.floor(qh / 4 ** p) % 4) - 32
        const scale = view.getInt8(block + 192 + 8 * side + 2 * p + Math.floor(j / 16))
        return half(view, block + 208) * scale * q
      }
    }
  })
}
