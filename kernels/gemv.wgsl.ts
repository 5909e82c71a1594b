/** gemv.wgsl: four rows of a tiled weight a thread, one row of x. @module */
import { threadOf } from "./grid.ts"
import type { Tiled } from "./kernel.ts"
import { scalesOf, scalesType, sizeOf, type Words, wordsOf } from "./tile.wgsl.ts"

// What a step reads of x. Numbers of nibbles come times a power of 16, so x is multiplied by its inverse.
const read: { readonly [S in Words["scaled"]]: string } = {
  "no": "let v = x[column];",
  "scale": "let v = x[column];",
  "scale and least": `let low = x[column];
      let high = x[column + 4u];
      all += low + high;
      let v = low * vec4f(1.0, 0x1p-8f, 0x1p-16f, 0x1p-24f);
      let w = high * vec4f(0x1p-4f, 0x1p-12f, 0x1p-20f, 1.0);`,
}

// What a block's part adds to the sums.
const end: { readonly [S in Words["scaled"]]: (name: string) => string } = {
  "no": (name) => `
    ${name}_sum += part_${name};`,
  "scale": (name) => `
    ${name}_sum = fma(${name}_scales(at - lane, lane).scale, part_${name}, ${name}_sum);`,
  "scale and least": (name) => `
    let scales_${name} = ${name}_scales(at - lane, lane);
    ${name}_sum = fma(scales_${name}.scale, part_${name},
      fma(scales_${name}.least, vec4f(all.x + all.y + all.z + all.w), ${name}_sum));`,
}

/**
 * Text of the products of row `row` of x with rows 4 · `quad` … 4 · `quad` + 3 of weights of the same shape and
 * form: `<name>_sum`, a vec4f each. Elements of x are read once for all.
 */
export const products = (D: Tiled, names: ReadonlyArray<string>): string => {
  const { names: words, columns, each, scaled } = wordsOf[D]
  const all = (text: (name: string) => string): string => names.map(text).join("")
  const step = (name: string): string => `
      {${
    words.map((word, i) => `
        let ${word} = ${name}[at + ${8 * i}u];`).join("")
  }${
    columns.map(({ numbers, x }) => `
        part_${name} = fma(${numbers}, vec4f(${x}), part_${name});`).join("")
  }
      }`
  return /* wgsl */ `
  let blocks = params.k / 32u;
  let lane = quad % 8u;
  var column = row * params.k / 4u;
  // Carried from block to block, so that the loops' ends are not constants: unrolled they are slower.
  var at = quad / 8u * blocks * ${sizeOf[D]}u + lane;${
    all((name) => `
  var ${name}_sum = vec4f();`)
  }
  for (var block = 0u; block < blocks; block++) {
    var all = vec4f();${
    all((name) => `
    var part_${name} = vec4f();`)
  }
    let end = at + ${8 * each}u;
    for (; at < end; at += ${8 * words.length}u) {
      ${read[scaled]}
      column++;${all(step)}
    }${all(end[scaled])}
    at += ${sizeOf[D] - 8 * each}u;
    column += ${scaled === "scale and least" ? 4 : 0}u;
  }
`
}

/** Text of the functions that `products` calls. */
export const functions = (D: Tiled, names: ReadonlyArray<string>): string =>
  wordsOf[D].functions + scalesType + names.map(scalesOf[D]).join("") + threadOf

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
