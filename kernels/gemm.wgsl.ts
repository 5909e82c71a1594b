/** gemm.wgsl: sixteen rows of a tiled weight and four rows of x a thread. @module */
import { threadOf } from "./grid.ts"
import type { Tiled } from "./kernel.ts"
import { gap, scalesOf, scalesType, tileOf, wordsBefore } from "./scales.wgsl.ts"
import { type Column, topping, type Words, wordsOf } from "./tile.wgsl.ts"

const four = [0, 1, 2, 3] as const
const each = (text: (i: number) => string): string => four.map(text).join("")

// What quad `q` reads at the beginning of a group.
const begin: { readonly [S in Words["scaled"]]: (q: number, words: Words) => string } = {
  "no": () => "",
  "scale": (q) => `
    let scale_${q} = weight_scales(scales, lane + ${q}u, group).scale;`,
  "scale and least": (q, { columns }) => `
    let scales_${q} = weight_scales(scales, lane + ${q}u, group);
    let least_${q} = scales_${q}.least;
    let scale_${q}_0 = scales_${q}.scale;${
    [...new Set(columns.map(({ shift }) => shift))].filter(Boolean).map((shift) => `
    let scale_${q}_${shift} = scale_${q}_0 * 0x1p-${shift}f;`).join("")
  }`,
}

// Weights of a column of quad `q`.
const weights: {
  readonly [S in Words["scaled"]]: (column: Column, q: number) => string
} = {
  "no": ({ numbers }) => numbers,
  "scale": ({ numbers }, q) => `${numbers} * scale_${q}`,
  "scale and least": ({ numbers, shift }, q) => `fma(${numbers}, scale_${q}_${shift}, least_${q})`,
}

/** Text of the loop over blocks: adds to `sum_<quad>_<row of x>`, four by four. */
const products = (D: Tiled): string => {
  const words = wordsOf[D]
  const { names, columns, group, scaled } = words
  const wide = scaled === "scale and least"
  const column = (column: Column, q: number): string => `
        {
          let f = ${weights[scaled](column, q)};${
    each((t) => `
          sum_${q}_${t} = fma(f, vec4f(${column.x.replace(".", `${t}.`)}), sum_${q}_${t});`)
  }
        }`
  return /* wgsl */ `
  for (var group = 0u; group < count; group++) {${
    words.above === undefined ? "" : each((q) => `
    var above_${q} = weight[at + ${q}u];`) + `
    at += 8u;`
  }
    let end = at + ${8 * words.each}u;${each((q) => begin[scaled](q, words))}
    for (; at < end; at += ${8 * names.length}u) {${
    each((t) => `
      let v${t} = x[x${t} + column];${
      wide
        ? `
      let w${t} = x[x${t} + column + ${group / 8}u];`
        : ""
    }`)
  }
      column++;${
    each((q) => `
      {${
      names.map((name, i) => `
        let ${name} = weight[at + ${8 * i + q}u];`).join("")
    }${topping(words, `above_${q}`)}${columns.map((one) => column(one, q)).join("")}
      }`)
  }
    }
    at += ${gap(D)};
    column += ${wide ? group / 8 : 0}u;
  }
`
}

/** The shader for a weight stored as `D`. */
export const source = (D: Tiled): string => {
  const { group } = wordsOf[D]
  const tile = tileOf[D]
  return /* wgsl */ `
// gemm.wgsl: out[r, j] = Σ x[r, i] · weight[j, i], for many rows of x
//
// grid      fold(⌈rows / 4⌉ · n / 16)                      workgroup (WG, 1, 1)
// reads     x f32[rows, k]        weight ${D}[n, k]
// writes    out f32[rows, n]
// moves     the weight once every four rows of x; each weight is made a number once for the four
// empty     rows = 0 does nothing, k = 0 writes zeros
// source    its definition; the order of a weight is in tile.ts
override WG: u32 = 8;
struct Params { rows: u32, k: u32, n: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  let sixteens = params.n / 16u;
  if (i >= (params.rows + 3u) / 4u * sixteens) { return; }
  let row = i / sixteens * 4u;
  let sixteen = i % sixteens;
  let count = params.k / ${group}u;
  // Rows past the last are the last again, and are not written.${
    each((t) => `
  let x${t} = min(row + ${t}u, params.rows - 1u) * (params.k / 4u);`)
  }
  let lane = sixteen % 2u * 4u;
  var column = 0u;
  let strip = sixteen / 2u * (params.k / ${group * tile.groups}u) * ${tile.size}u;
  let scales = strip + ${wordsBefore(D)}u;
  // Carried from group to group, so that the loops' ends are not constants: unrolled they are slower.
  var at = strip + lane;${
    each((q) =>
      each((t) => `
  var sum_${q}_${t} = vec4f();`)
    )
  }${products(D)}
  let to = row * (params.n / 4u) + sixteen * 4u;${
    each((t) => `
  if (row + ${t}u < params.rows) {${
      each((q) => `
    out[to + ${t}u * (params.n / 4u) + ${q}u] = sum_${q}_${t};`)
    }
  }`)
  }
}
` + wordsOf[D].functions + scalesType + scalesOf(D, "weight") + threadOf
}
