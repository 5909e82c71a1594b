/** split_attention.wgsl: one thread a (strip of tokens, pack of query heads, split), all of it in registers. @module */
import { LSE_EMPTY_WGSL } from "./constants.ts"
import { threadOf } from "./grid.ts"
import type { Shape } from "./split_attention.ts"

/** How a shader reads a pool: what one load brings. Strides and bases are multiples of `elements`. */
export const wide: {
  readonly [D in Shape["dtype"]]: { readonly type: "vec4f" | "vec4u"; readonly elements: number }
} = {
  f32: { type: "vec4f", elements: 4 },
  f16: { type: "vec4u", elements: 8 },
  bf16: { type: "vec4u", elements: 8 },
}

const lines = (n: number, line: (i: number) => string): string =>
  Array.from({ length: n }, (_, i) => line(i)).join("\n")

/** How a row of keys or values is read, four elements at a time into `x`, each group used at once. */
const rows = {
  f32: (from, at, n, x, use) => lines(n, (i) => `      ${x} = ${from}[${at} + ${i}u];${use(i)}`),
  f16: (from, at, n, x, use) =>
    lines(n / 2, (i) =>
      [
        `      word = ${from}[${at} + ${i}u];`,
        `      ${x} = vec4f(unpack2x16float(word.x), unpack2x16float(word.y));${use(2 * i)}`,
        `      ${x} = vec4f(unpack2x16float(word.z), unpack2x16float(word.w));${use(2 * i + 1)}`,
      ].join("\n")),
  bf16: (from, at, n, x, use) =>
    lines(n / 2, (i) =>
      [
        `      word = ${from}[${at} + ${i}u];`,
        `      ${x} = bitcast<vec4f>(vec4u(word.xy << vec2u(16u), word.xy & vec2u(0xffff0000u)).xzyw);${
          use(2 * i)
        }`,
        `      ${x} = bitcast<vec4f>(vec4u(word.zw << vec2u(16u), word.zw & vec2u(0xffff0000u)).xzyw);${
          use(2 * i + 1)
        }`,
      ].join("\n")),
} as const satisfies {
  readonly [D in Shape["dtype"]]: (
    from: string,
    at: string,
    n: number,
    x: string,
    use: (i: number) => string,
  ) => string
}

/** What a thread that holds one token does otherwise than one that holds two. */
const strips = {
  1: {
    pass: (walk: string) => `  let range = sight0;\n${walk}`,
    seen: "",
    score: (_: number, x: string) => x,
    weight: (_: number, p: string) => p,
    values: "",
    value: (_: number) => "v",
  },
  2: {
    // Two tokens of one sequence share every load; of two sequences, each takes its turn.
    pass: (walk: string) =>
      `  for (var turn = 0u; turn < 2u; turn++) {
  let range = range_of(sight0, sight1, turn);
${walk}
  }`,
    seen: `      let seen0 = sees(sight0, range.table, p);
      let seen1 = sees(sight1, range.table, p);`,
    score: (row: number, x: string) => `select(LSE_EMPTY, ${x}, seen${row})`,
    weight: (row: number, p: string) => `select(0.0, ${p}, seen${row})`,
    values: " v0 = select(vec4f(), v, seen0); v1 = select(vec4f(), v, seen1);",
    value: (row: number) => `v${row}`,
  },
} as const

const sees = /* wgsl */ `
fn sees(s: Sight, table: u32, p: u32) -> bool {
  return s.table == table && ((p >= s.first && p < s.sinks) || (p >= s.start && p < s.end));
}

fn range_of(a: Sight, b: Sight, turn: u32) -> Sight {
  if (a.table == b.table) {
    if (turn == 1u) { return Sight(a.table, 0u, 0u, 0u, 0u); }
    if (a.end == 0u) { return b; }
    if (b.end == 0u) { return a; }
    return Sight(
      a.table, min(a.first, b.first), max(a.sinks, b.sinks), min(a.start, b.start), max(a.end, b.end),
    );
  }
  if (turn == 1u) { return b; }
  return a;
}
`

const capped = /* wgsl */ `
// tanh of more than 15 is 1 in f32, and may overflow on the way.
fn capped(score: f32) -> f32 {
  return LOG2E * params.soft_cap * tanh(clamp(score / params.soft_cap, -15.0, 15.0));
}
`

/** The shader for a shape. */
export const source = (shape: Shape): string => {
  const { dtype, keyDim, valueDim, heads, softCap } = shape
  const strip = strips[shape.rows]
  const { type, elements } = wide[dtype]
  const [numKeys, numValues] = [keyDim / 4, valueDim / 4]
  /** Queries of a thread: head h of row r is number r · heads + h. */
  const queries = shape.rows * heads
  const row = (a: number): number => Math.floor(a / heads)
  const all = (f: (a: number) => string): string =>
    Array.from({ length: queries }, (_, a) => f(a)).join("")
  const sum = (a: number): string => {
    const x = `(s${a}.x + s${a}.y) + (s${a}.z + s${a}.w)`
    return strip.score(row(a), softCap ? `capped(${x})` : x)
  }
  const walk = /* wgsl */ `
  var p = range.start;
  if (range.first < range.sinks) { p = range.first; }
  while (p < range.end) {
    if (p >= range.sinks) { p = max(p, range.start); }
    let offset = p % params.block_size;
    let block = block_tables[range.table + p / params.block_size];
    var stop = min(range.end, p - offset + params.block_size);
    if (p < range.sinks) { stop = min(stop, range.sinks); }
    var key = (params.key_base + block * params.key_block_stride +
      kv_head * params.key_head_stride + offset * params.key_slot_stride) / WIDE;
    var value = (params.value_base + block * params.value_block_stride +
      kv_head * params.value_head_stride + offset * params.value_slot_stride) / WIDE;
    for (; p < stop; p++) {
${strip.seen}
${lines(queries, (a) => `      s${a} = vec4f();`)}
${
    rows[dtype]("keys", "key", numKeys, "k", (i) =>
      all((a) =>
        ` s${a} = fma(q${a}_${i}, k, s${a});`
      ))
  }
${
    lines(queries, (a) =>
      `      let x${a} = ${sum(a)};
      let top${a} = max(most${a}, x${a});
      let keep${a} = exp2(most${a} - top${a});
      let p${a} = ${strip.weight(row(a), `exp2(x${a} - top${a})`)};
      total${a} = total${a} * keep${a} + p${a};
      most${a} = top${a};`)
  }
${
    rows[dtype]("values", "value", numValues, "v", (i) =>
      strip.values +
      all((a) => ` o${a}_${i} = fma(vec4f(p${a}), ${strip.value(row(a))}, o${a}_${i} * keep${a});`))
  }
      key += params.key_slot_stride / WIDE;
      value += params.value_slot_stride / WIDE;
    }
  }`
  return /* wgsl */ `
// split_attention.wgsl: softmax(cap(scale · q · kᵀ)) · v over one part of the positions that a token may see
//
// shape     ${dtype} pools; keys of ${keyDim}, values of ${valueDim}; a thread holds ${heads} query heads of ${shape.rows} tokens
// grid      fold(strips of ${shape.rows} tokens, whole tiles of them · packs of ${heads} heads · splits)   workgroup (WG, 1, 1)
// reads     q f32[tokens, num_q_heads, key_dim]
//           keys ${dtype}[key_pool]           values ${dtype}[value_pool]
//           block_tables u32[batch, max_blocks]: blocks of a sequence, from position 0
//           visible u32[tokens, 3]: row of block_tables, first visible position, own position
// writes    out f32[splits, tokens, num_q_heads, value_dim]
//           lse f32[splits, tokens, num_q_heads], natural log
// moves     key_dim + value_dim elements a position, once for all heads and tokens of a thread
// lanes     neighbours are splits of one strip, or strips of one tile: then they read the same rows at once;
//           the last strips, which see most, come first
// splits    equal parts of the window, in whole blocks or runs of 16; the sinks belong to split 0
// empty     a part without positions writes out = 0 and lse = LSE_EMPTY
// source    Milakov and Gimelshein 2018, Online normalizer calculation for softmax; Dao et al. 2023, Flash-Decoding
override WG: u32 = 8;
struct Params {
  tokens: u32, num_q_heads: u32, key_dim: u32, value_dim: u32, max_blocks: u32,
  key_heads: u32, value_heads: u32, block_size: u32,
  key_base: u32, key_block_stride: u32, key_head_stride: u32, key_slot_stride: u32,
  value_base: u32, value_block_stride: u32, value_head_stride: u32, value_slot_stride: u32,
  scale: f32, soft_cap: f32, window: u32, sinks: u32, splits: u32, tile: u32,
}
@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> keys: array<${type}>;
@group(0) @binding(2) var<storage, read> values: array<${type}>;
@group(0) @binding(3) var<storage, read> block_tables: array<u32>;
@group(0) @binding(4) var<storage, read> visible: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;
${LSE_EMPTY_WGSL}
const LOG2E: f32 = 1.4426950408889634;
const LN2: f32 = 0.6931471805599453;
// Elements in one element of a pool's binding.
const WIDE: u32 = ${elements}u;

// Positions first … sinks − 1 and start … end − 1; end = 0 is none.
struct Sight { table: u32, first: u32, sinks: u32, start: u32, end: u32 }

fn sight(token: u32, split: u32) -> Sight {
  let table = visible[3u * token] * params.max_blocks;
  let first = visible[3u * token + 1u];
  let end = visible[3u * token + 2u] + 1u;
  var start = first;
  if (params.window > 0u && end > params.window) { start = max(first, end - params.window); }
  let run = min(params.block_size, 16u);
  let base = start - start % run;
  let share = (end - base + params.splits - 1u) / params.splits;
  let part = (share + run - 1u) / run * run;
  let begin = max(start, base + split * part);
  if (first >= end || begin >= end) { return Sight(table, 0u, 0u, 0u, 0u); }
  let sinks = select(0u, min(params.sinks, start), split == 0u);
  return Sight(table, first, sinks, begin, min(end, base + split * part + part));
}
${shape.rows === 1 ? "" : sees}${softCap ? capped : ""}
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  let split = i % params.splits;
  let lane = i / params.splits % params.tile;
  let packs = params.num_q_heads / ${heads}u;
  let pack = i / (params.splits * params.tile) % packs;
  let strip = i / (params.splits * params.tile * packs) * params.tile + lane;
  let strips = (params.tokens + ${shape.rows - 1}u) / ${shape.rows}u;
  if (strip >= strips) { return; }
  let head = pack * ${heads}u;
  let kv_head = head * params.key_heads / params.num_q_heads;
  let factor = params.scale${softCap ? "" : " * LOG2E"};
${
    lines(shape.rows, (r) =>
      `  let token${r} = min(${shape.rows}u * (strips - 1u - strip) + ${r}u, params.tokens - 1u);
  let head${r} = token${r} * params.num_q_heads + head;
  let sight${r} = sight(token${r}, split);`)
  }
${
    lines(queries * numKeys, (n) => {
      const [a, i] = [Math.floor(n / numKeys), n % numKeys]
      return `  let q${a}_${i} = q[(head${row(a)} + ${a % heads}u) * ${numKeys}u + ${i}u] * factor;`
    })
  }
${
    lines(queries, (a) =>
      `  var s${a} = vec4f();
  var most${a} = LSE_EMPTY;
  var total${a} = 0.0;`)
  }
${
    lines(queries * numValues, (n) =>
      `  var o${Math.floor(n / numValues)}_${n % numValues} = vec4f();`)
  }
  var k = vec4f();
  var v = vec4f();${elements === 8 ? "\n  var word = vec4u();" : ""}${
    shape.rows === 1 ? "" : "\n  var v0 = vec4f();\n  var v1 = vec4f();"
  }
${strip.pass(walk)}
  let part = split * params.tokens * params.num_q_heads;
${
    lines(queries, (a) =>
      `  let at${a} = part + head${row(a)} + ${a % heads}u;
  let sum${a} = select(1.0, total${a}, total${a} > 0.0);
  lse[at${a}] = select(LSE_EMPTY, (most${a} + log2(sum${a})) * LN2, total${a} > 0.0);
${lines(numValues, (i) => `  out[at${a} * ${numValues}u + ${i}u] = o${a}_${i} / sum${a};`)}`)
  }
}
${threadOf}`
}
