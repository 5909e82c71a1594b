/** gemv.wgsl: four rows of a tiled weight a thread, one row of x. @module */
import { threadOf } from "./grid.ts"
import type { Tiled } from "./kernel.ts"
import { gap, scalesOf, scalesType, tileOf, wordsBefore } from "./scales.wgsl.ts"
import { topping, type Words, wordsOf } from "./tile.wgsl.ts"

// Numbers of parts of bytes come times a power of two, so x is multiplied by its inverse.
const inverses = ({ columns }: Words, of: "v" | "w"): string =>
  columns.filter(({ x }) => x.startsWith(of)).map(({ shift }) =>
    shift === 0 ? "1.0" : `0x1p-${shift}f`
  ).join(", ")

// What a step reads of x.
const read = (words: Words): string =>
  words.scaled === "scale and least"
    ? `let first = x[column];
      let second = x[column + ${words.group / 8}u];
      all += first + second;
      let v = first * vec4f(${inverses(words, "v")});
      let w = second * vec4f(${inverses(words, "w")});`
    : "let v = x[column];"

// What a group's part adds to the sums.
const end: { readonly [S in Words["scaled"]]: (name: string) => string } = {
  "no": (name) => `
    ${name}_sum += part_${name};`,
  "scale": (name) => `
    ${name}_sum = fma(${name}_scales(scales, lane, group).scale, part_${name}, ${name}_sum);`,
  "scale and least": (name) => `
    let scales_${name} = ${name}_scales(scales, lane, group);
    ${name}_sum = fma(scales_${name}.scale, part_${name},
      fma(scales_${name}.least, vec4f(all.x + all.y + all.z + all.w), ${name}_sum));`,
}

/**
 * Text of the products of row `row` of x with rows 4 · `quad` … 4 · `quad` + 3 of weights of the same shape and
 * form: `<name>_sum`, a vec4f each. Elements of x are read once for all.
 */
export const products = (D: Tiled, names: ReadonlyArray<string>): string => {
  const words = wordsOf[D]
  const { columns, each, group, scaled } = words
  const tile = tileOf[D]
  const all = (text: (name: string) => string): string => names.map(text).join("")
  const step = (name: string): string => `
      {${
    words.names.map((word, i) => `
        let ${word} = ${name}[at + ${8 * i}u];`).join("")
  }${topping(words, `above_${name}`)}${
    columns.map(({ numbers, x }) => `
        part_${name} = fma(${numbers}, vec4f(${x}), part_${name});`).join("")
  }
      }`
  return /* wgsl */ `
  let count = params.k / ${group}u;
  let lane = quad % 8u;
  var column = row * params.k / 4u;
  let strip = quad / 8u * (params.k / ${group * tile.groups}u) * ${tile.size}u;
  let scales = strip + ${wordsBefore(D)}u;
  // Carried from group to group, so that the loops' ends are not constants: unrolled they are slower.
  var at = strip + lane;${
    all((name) => `
  var ${name}_sum = vec4f();`)
  }
  for (var group = 0u; group < count; group++) {
    var all = vec4f();${
    all((name) => `
    var part_${name} = vec4f();`)
  }${
    words.above === undefined ? "" : all((name) => `
    var above_${name} = ${name}[at];`) + `
    at += 8u;`
  }
    let end = at + ${8 * each}u;
    for (; at < end; at += ${8 * words.names.length}u) {
      ${read(words)}
      column++;${all(step)}
    }${all(end[scaled])}
    at += ${gap(D)};
    column += ${scaled === "scale and least" ? group / 8 : 0}u;
  }
`
}

/** Text of the functions that `products` calls. */
export const functions = (D: Tiled, names: ReadonlyArray<string>): string =>
  wordsOf[D].functions + scalesType + names.map((name) => scalesOf(D, name)).join("") + threadOf

/** Text of the head of `main`: a thread finds its row of x and its four rows of the weights. */
export const main: string = /* wgsl */ `
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  let quads = params.n / 4u;
  if (i >= params.rows * quads) { return; }
  let row = i / quads;
  let quad = i % quads;
`

/** The shader for a weight stored as `D`. */
export const source = (D: Tiled): string =>
  /* wgsl */ `
// gemv.wgsl: out[r, j] = Σ x[r, i] · weight[j, i], for few rows of x
//
// grid      fold(rows · n / 4)    workgroup (WG, 1, 1)
// reads     x f32[rows, k]        weight ${D}[n, k]
// writes    out f32[rows, n]
// moves     the weight once a row of x; eight neighbouring threads read it straight ahead
// empty     rows = 0 does nothing, k = 0 writes zeros
// source    its definition; the order of a weight is in tile.ts
override WG: u32 = 8;
struct Params { rows: u32, k: u32, n: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;
` + main + products(D, ["weight"]) + /* wgsl */ `
  out[i] = weight_sum;
}
` + functions(D, ["weight"])
