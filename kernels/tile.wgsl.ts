/**
 * How shaders read tiled weights: functions from a vec4 of words, which is the same columns of four rows, to
 * numbers. Halves of bytes are not shifted down but masked and converted, which gives them times a power of
 * 16, exactly: a factor that the other side of the product takes back.
 *
 * @module
 */
import type { Tiled } from "./kernel.ts"

/** How numbers lie in words. */
export interface Words {
  /** Names of the vec4s of words that one step of a loop reads: 2, 4 or 8 columns each. */
  readonly names: ReadonlyArray<string>
  /** The columns of a step. */
  readonly columns: ReadonlyArray<Column>
  /** vec4s of words that a lane reads of a tile. */
  readonly each: number
  /** What makes weights of the numbers: `number · scale + least`, one of each for 32 columns. */
  readonly scaled: "no" | "scale" | "scale and least"
  /** Text of the functions that `columns` call. */
  readonly functions: string
}

/** One column of four rows. */
export interface Column {
  /** Text: the numbers, times 2 to the power of `shift`. */
  readonly numbers: string
  readonly shift: number
  /**
   * Text: the element of x they meet. In step s of a block, v is the block's vec4 s of x, w its vec4 4 + s.
   */
  readonly x: string
}

const xyzw = ["x", "y", "z", "w"] as const

const halves = (functions: string): Words => ({
  names: ["a", "b"],
  columns: ["first(a)", "second(a)", "first(b)", "second(b)"].map((numbers, i) => ({
    numbers,
    shift: 0,
    x: `v.${xyzw[i]}`,
  })),
  each: 16,
  scaled: "no",
  functions,
})

const f16 = halves(/* wgsl */ `
fn first(a: vec4u) -> vec4f {
  return vec4f(unpack2x16float(a.x).x, unpack2x16float(a.y).x, unpack2x16float(a.z).x, unpack2x16float(a.w).x);
}
fn second(a: vec4u) -> vec4f {
  return vec4f(unpack2x16float(a.x).y, unpack2x16float(a.y).y, unpack2x16float(a.z).y, unpack2x16float(a.w).y);
}
`)

const bf16 = halves(/* wgsl */ `
fn first(a: vec4u) -> vec4f { return bitcast<vec4f>(a << vec4u(16u)); }
fn second(a: vec4u) -> vec4f { return bitcast<vec4f>(a & vec4u(0xffff0000u)); }
`)

const bytes: Words = {
  names: ["a"],
  columns: xyzw.map((c, i) => ({ numbers: `byte(a, ${24 - 8 * i}u)`, shift: 0, x: `v.${c}` })),
  each: 8,
  scaled: "scale",
  functions: /* wgsl */ `
fn byte(a: vec4u, above: u32) -> vec4f {
  return vec4f(bitcast<vec4i>(a << vec4u(above)) >> vec4u(24u));
}
`,
}

// The last one is shifted: its sign would be in the way.
const nibbles: Words = {
  names: ["a"],
  columns: Array.from({ length: 8 }, (_, i) => ({
    numbers: i === 7 ? "last(a)" : `masked(a, 0x${(15 * 16 ** i).toString(16)}u)`,
    shift: i === 7 ? 0 : 4 * i,
    x: `${i % 2 === 0 ? "v" : "w"}.${xyzw[i >> 1]}`,
  })),
  each: 4,
  scaled: "scale and least",
  functions: /* wgsl */ `
fn masked(a: vec4u, mask: u32) -> vec4f { return vec4f(bitcast<vec4i>(a & vec4u(mask))); }
fn last(a: vec4u) -> vec4f { return vec4f(bitcast<vec4i>(a >> vec4u(28u))); }
`,
}

/** The words of each form. */
export const wordsOf: { readonly [D in Tiled]: Words } = {
  f16_tiled: f16,
  bf16_tiled: bf16,
  q8_0_tiled: bytes,
  q4_0_tiled: nibbles,
  q4_1_tiled: nibbles,
}

/** vec4s of a tile: eight lanes' words, then scales. */
export const sizeOf: { readonly [D in Tiled]: number } = {
  f16_tiled: 128,
  bf16_tiled: 128,
  q8_0_tiled: 68,
  q4_0_tiled: 36,
  q4_1_tiled: 40,
}

const pairs = (name: string, least: string): string => /* wgsl */ `
fn ${name}_scales(scales: u32, lane: u32) -> Scales {
  let eight = ${name}[scales + lane / 2u];
  let four = select(eight.xy, eight.zw, lane % 2u == 1u);
  let scale = vec4f(unpack2x16float(four.x), unpack2x16float(four.y));
  return Scales(scale, ${least});
}
`

const quadruples = (name: string): string => /* wgsl */ `
fn ${name}_scales(scales: u32, lane: u32) -> Scales {
  let four = ${name}[scales + lane];
  let x = unpack2x16float(four.x);
  let y = unpack2x16float(four.y);
  let z = unpack2x16float(four.z);
  let w = unpack2x16float(four.w);
  return Scales(vec4f(x.x, y.x, z.x, w.x), vec4f(x.y, y.y, z.y, w.y));
}
`

const none = (): string => ""

/**
 * Text of `<name>_scales(scales, lane)`, which reads a block's scales for the four rows of a lane of the
 * binding `name`; `scales` is where the tile's begin. A weight is `number · scale + least`.
 */
export const scalesOf: { readonly [D in Tiled]: (name: string) => string } = {
  f16_tiled: none,
  bf16_tiled: none,
  q8_0_tiled: (name) => pairs(name, "vec4f()"),
  q4_0_tiled: (name) => pairs(name, "-8.0 * scale"),
  q4_1_tiled: quadruples,
}

/** Text of what the functions of `scalesOf` return. */
export const scalesType = "struct Scales { scale: vec4f, least: vec4f }\n"
