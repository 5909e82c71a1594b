/**
 * How shaders read tiled weights: functions from a vec4 of words, which is the same columns of four rows, to
 * numbers. Halves of bytes are not shifted down but masked and converted, which gives them times a power of
 * 16, exactly: a factor that the other side of the product takes back. Bits above them are put in their places
 * first, so that a vec4 makes two, of four bytes each: no more than six bits, so that no number has a sign.
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
  /** Columns of a group. */
  readonly group: 16 | 32
  /** vec4s of words that the steps of a lane read of a group. */
  readonly each: number
  /** Bits of `above` that a step uses up, of forms whose groups begin with a vec4 of bits above the halves. */
  readonly above?: number
  /** What makes weights of the numbers: `number · scale + least`, one of each for a group. */
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
   * Text: the element of x they meet. In step s of a group, v is vec4 s of x in it, w the one half a group later.
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
  group: 32,
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
  group: 32,
  each: 8,
  scaled: "scale",
  functions: /* wgsl */ `
fn byte(a: vec4u, above: u32) -> vec4f {
  return vec4f(bitcast<vec4i>(a << vec4u(above)) >> vec4u(24u));
}
`,
}

const masked = /* wgsl */ `
fn masked(a: vec4u, mask: u32) -> vec4f { return vec4f(bitcast<vec4i>(a & vec4u(mask))); }
`

// The last one is shifted: its sign would be in the way.
const nibbles: Words = {
  names: ["a"],
  columns: Array.from({ length: 8 }, (_, i) => ({
    numbers: i === 7 ? "last(a)" : `masked(a, 0x${(15 * 16 ** i).toString(16)}u)`,
    shift: i === 7 ? 0 : 4 * i,
    x: `${i % 2 === 0 ? "v" : "w"}.${xyzw[i >> 1]}`,
  })),
  group: 32,
  each: 4,
  scaled: "scale and least",
  functions: masked + /* wgsl */
    `fn last(a: vec4u) -> vec4f { return vec4f(bitcast<vec4i>(a >> vec4u(28u))); }
`,
}

const topped = (form: Pick<Words, "group" | "each" | "functions"> & { above: number }): Words => ({
  ...form,
  names: ["a"],
  columns: ["low", "high"].flatMap((half) =>
    xyzw.map((c, i) => ({
      numbers: `masked(${half}, 0x${(255 * 256 ** i).toString(16)}u)`,
      shift: 8 * i,
      x: `${half === "low" ? "v" : "w"}.${c}`,
    }))
  ),
  scaled: "scale and least",
  functions: masked + form.functions,
})

// Four bits in turn, times four powers of two, are each once where a byte wants its fifth.
const fives = topped({
  group: 32,
  each: 4,
  above: 4,
  functions: /* wgsl */ `fn fifth(bits: vec4u) -> vec4u {
  return ((bits & vec4u(15u)) * vec4u(0x2040810u)) & vec4u(0x10101010u);
}
fn low_of(a: vec4u, above: vec4u) -> vec4u { return (a & vec4u(0xf0f0f0fu)) | fifth(above); }
fn high_of(a: vec4u, above: vec4u) -> vec4u {
  return ((a >> vec4u(4u)) & vec4u(0xf0f0f0fu)) | fifth(above >> vec4u(16u));
}
`,
})

const sixes = topped({
  group: 16,
  each: 2,
  above: 2,
  functions: /* wgsl */ `fn low_of(a: vec4u, above: vec4u) -> vec4u {
  return (a & vec4u(0xf0f0f0fu)) | ((above & vec4u(0x3030303u)) << vec4u(4u));
}
fn high_of(a: vec4u, above: vec4u) -> vec4u {
  return ((a >> vec4u(4u)) & vec4u(0xf0f0f0fu)) | (above & vec4u(0x30303030u));
}
`,
})

/** The words of each form. */
export const wordsOf: { readonly [D in Tiled]: Words } = {
  f16_tiled: f16,
  bf16_tiled: bf16,
  q8_0_tiled: bytes,
  q4_0_tiled: nibbles,
  q4_1_tiled: nibbles,
  q5_0_tiled: fives,
  q4_K_tiled: nibbles,
  q6_K_tiled: sixes,
}

/** Text of steps from a vec4 of words to those that `columns` name, where bits above have their places to find. */
export const topping = (words: Words, above: string): string =>
  words.above === undefined ? "" : `
        let low = low_of(a, ${above});
        let high = high_of(a, ${above});
        ${above} >>= vec4u(${words.above}u);`
