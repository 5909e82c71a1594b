/** How shaders read the scales of tiled weights. @module */
import type { Tiled } from "./kernel.ts"
import { wordsOf } from "./tile.wgsl.ts"

/** vec4s of a tile: eight lanes' words, then scales; and the groups they hold. */
export const tileOf: { readonly [D in Tiled]: { readonly size: number; readonly groups: number } } =
  {
    f16_tiled: { size: 128, groups: 1 },
    bf16_tiled: { size: 128, groups: 1 },
    q8_0_tiled: { size: 68, groups: 1 },
    q4_0_tiled: { size: 36, groups: 1 },
    q4_1_tiled: { size: 40, groups: 1 },
    q5_0_tiled: { size: 44, groups: 1 },
    q4_K_tiled: { size: 288, groups: 8 },
    q6_K_tiled: { size: 420, groups: 16 },
  }

/** vec4s of a group's words. */
const wordsIn = (D: Tiled): number =>
  8 * (wordsOf[D].each + (wordsOf[D].above === undefined ? 0 : 1))

/** vec4s of a tile before its scales. */
export const wordsBefore = (D: Tiled): number => tileOf[D].groups * wordsIn(D)

/** Text: how far the next group is from the end of a group's words. */
export const gap = (D: Tiled): string => {
  const { size, groups } = tileOf[D]
  const scales = size - wordsBefore(D)
  return groups === 1
    ? `${scales}u`
    : `select(0u, ${scales}u, group % ${groups}u == ${groups - 1}u)`
}

type Text = (name: string) => string

// The scales of the tile that a group is in.
const tileAt = (D: Tiled): string => {
  const { size, groups } = tileOf[D]
  return `scales + group${groups === 1 ? "" : ` / ${groups}u`} * ${size}u`
}

/** Sixteen bits a row: two rows a word. */
const halves = (at: string): Text => (name) => /* wgsl */ `
  let eight = ${name}[${at} + lane / 2u];
  let four = select(eight.xy, eight.zw, lane % 2u == 1u);
  let d = vec4f(unpack2x16float(four.x), unpack2x16float(four.y));`

/** Two times sixteen bits a row. */
const pairs: Text = (name) => /* wgsl */ `
  let four = ${name}[tile + lane];
  let x = unpack2x16float(four.x);
  let y = unpack2x16float(four.y);
  let z = unpack2x16float(four.z);
  let w = unpack2x16float(four.w);
  let d = vec4f(x.x, y.x, z.x, w.x);
  let m = vec4f(x.y, y.y, z.y, w.y);`

const withLeast = (least: string): Text => (name) =>
  halves("tile")(name) + `
  return Scales(d, ${least});`

// Six bits each: four scales in the low bits of the first word's bytes and four minima in the second's; four
// more with their low bits in the third and their high bits above the first ones.
const sixBits: Text = (name) => /* wgsl */ `
  let shift = vec4u(8u * (group % 4u));
  let a = ${name}[tile + 8u + lane] >> shift;
  let b = ${name}[tile + 16u + lane] >> shift;
  let c = ${name}[tile + 24u + lane] >> shift;
  let late = group % 8u > 3u;
  let scale = select(a & vec4u(63u), (c & vec4u(15u)) | ((a >> vec4u(2u)) & vec4u(48u)), late);
  let least = select(b & vec4u(63u), ((c >> vec4u(4u)) & vec4u(15u)) | ((b >> vec4u(2u)) & vec4u(48u)), late);
  return Scales(d * vec4f(scale), -m * vec4f(least));`

const bytes: Text = (name) => /* wgsl */ `
  let four_bytes = bitcast<vec4i>(${name}[tile + group % 16u / 4u * 8u + lane]);
  let scale = d * vec4f((four_bytes << vec4u(24u - 8u * (group % 4u))) >> vec4u(24u));
  return Scales(scale, -32.0 * scale);`

const bodies: { readonly [D in Tiled]?: Text } = {
  q8_0_tiled: withLeast("vec4f()"),
  q4_0_tiled: withLeast("-8.0 * d"),
  q4_1_tiled: (name) => pairs(name) + "\n  return Scales(d, m);",
  q5_0_tiled: withLeast("-16.0 * d"),
  q4_K_tiled: (name) => pairs(name) + sixBits(name),
  q6_K_tiled: (name) => halves("tile + 32u")(name) + bytes(name),
}

/**
 * Text of `<name>_scales(scales, lane, group)`, which reads a group's scales for the four rows of a lane of the
 * binding `name`; `scales` is where the first tile's begin. A weight is `number · scale + least`.
 */
export const scalesOf = (D: Tiled, name: string): string => {
  const body = bodies[D]
  return body === undefined ? "" : `
fn ${name}_scales(scales: u32, lane: u32, group: u32) -> Scales {
  let tile = ${tileAt(D)};${body(name)}
}
`
}

/** Text of what the functions of `scalesOf` return. */
export const scalesType = "struct Scales { scale: vec4f, least: vec4f }\n"
