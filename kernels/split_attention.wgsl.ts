/** split_attention.wgsl: one thread a (strip of tokens, pack of query heads, split), all of it in registers. @module */
import { IS_NAN_WGSL, LSE_EMPTY_WGSL, SOFT_CAP_WGSL } from "./constants.ts"
import { threadOf } from "./grid.ts"
import type { Shape } from "./split_attention.ts"

/** How a shader reads a pool: what one load brings. Strides and bases are multiples of `elements`. */
export const wide: {
  readonly [D in Shape["dtype"]]: {
    readonly type: "vec4f" | "vec4u" | "u32"
    readonly elements: number
  }
} = {
  f32: { type: "vec4f", elements: 4 },
  f16: { type: "vec4u", elements: 8 },
  bf16: { type: "vec4u", elements: 8 },
  int8: { type: "u32", elements: 4 }, // the scale before a row leaves it no longer loads
}

/** `n` pieces of text, each on lines of its own. */
const lines = (n: number, piece: (i: number) => string): string =>
  Array.from({ length: n }, (_, i) => piece(i)).join("\n")

/** What is done with the `i`-th four elements of a row, once they are in a register. */
type Use = (i: number) => string

/** Two fours of a load of eight: how each is made of `word`. */
const halves = (low: string, high: string) => (from: string, at: string, n: number, use: Use) =>
  lines(n / 2, (i) =>
    `      word = ${from}[${at} + ${i}u];
      x = ${low};${use(2 * i)}
      x = ${high};${use(2 * i + 1)}`)

const bf16 = (pair: string): string =>
  `bitcast<vec4f>(vec4u(word.${pair} << vec2u(16u), word.${pair} & vec2u(0xffff0000u)).xzyw)`

/** A row of `n` fours, read into `x` by turns and used at once. */
const row: {
  readonly [D in Shape["dtype"]]: (from: string, at: string, n: number, use: Use) => string
} = {
  f32: (from, at, n, use) => lines(n, (i) => `      x = ${from}[${at} + ${i}u];${use(i)}`),
  f16: halves(
    "vec4f(unpack2x16float(word.x), unpack2x16float(word.y))",
    "vec4f(unpack2x16float(word.z), unpack2x16float(word.w))",
  ),
  bf16: halves(bf16("xy"), bf16("zw")),
  int8: (from, at, n, use) =>
    lines(n, (i) => `      x = bytes(${from}[${at} + ${i + 1}u]);${use(i)}`),
}

/** What is still to be multiplied with what a row gave, once for all of it. */
const unscaled = { functions: "", scale: () => "" }
const scales: {
  readonly [D in Shape["dtype"]]: {
    readonly functions: string
    readonly scale: (from: string, at: string) => string
  }
} = {
  f32: unscaled,
  f16: unscaled,
  bf16: unscaled,
  int8: {
    functions: /* wgsl */ `
// Four signed bytes; \`unpack4xI8\` is a language feature that not every device has.
fn bytes(word: u32) -> vec4f {
  return vec4f(bitcast<vec4i>(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u));
}
`,
    scale: (from, at) => ` * bitcast<f32>(${from}[${at}])`,
  },
}

/** Text that a thread of one token needs otherwise than a thread of two. */
interface Strip {
  readonly functions: string
  /** The walk over what the tokens see. */
  readonly around: (walk: string) => string
  /** Before a position: which tokens see it. */
  readonly seen: string
  /** A score, a weight and a value, as token `r` sees them. */
  readonly score: (r: number, score: string) => string
  readonly weight: (r: number, weight: string) => string
  readonly values: string
  readonly value: (r: number) => string
}

const strips: { readonly [R in Shape["rows"]]: Strip } = {
  1: {
    functions: "",
    around: (walk) => `  let range = sight0;\n${walk}`,
    seen: "",
    score: (_, score) => score,
    weight: (_, weight) => weight,
    values: "",
    value: () => "x",
  },
  2: {
    functions: /* wgsl */ `
fn sees(s: Sight, table: u32, p: u32) -> bool {
  return s.table == table && ((p >= s.first && p < s.sinks) || (p >= s.start && p < s.end));
}

// Two tokens of one sequence share every load, in one turn; of two sequences, each has a turn.
fn range_of(a: Sight, b: Sight, turn: u32) -> Sight {
  if (a.table != b.table && turn == 0u) { return a; }
  if (a.table != b.table) { return b; }
  if (turn == 1u) { return Sight(a.table, 0u, 0u, 0u, 0u); }
  if (a.end == 0u) { return b; }
  if (b.end == 0u) { return a; }
  return Sight(
    a.table, min(a.first, b.first), max(a.sinks, b.sinks), min(a.start, b.start), max(a.end, b.end),
  );
}
`,
    around: (walk) =>
      `  for (var turn = 0u; turn < 2u; turn++) {
  let range = range_of(sight0, sight1, turn);
${walk}
  }`,
    seen: `
      let seen0 = sees(sight0, range.table, p);
      let seen1 = sees(sight1, range.table, p);`,
    score: (r, score) => `select(LSE_EMPTY, ${score}, seen${r})`,
    weight: (r, weight) => `select(0.0, ${weight}, seen${r})`,
    values: " x0 = select(vec4f(), x, seen0); x1 = select(vec4f(), x, seen1);",
    value: (r) => `x${r}`,
  },
}

/** Scores are in units of log 2, so that `exp2` serves: the scale takes it in, or the cap does. */
const caps = {
  plain: { functions: "", factor: "params.scale * LOG2E", of: (score: string) => score },
  capped: {
    functions: /* wgsl */ `
${SOFT_CAP_WGSL}
fn capped(score: f32) -> f32 {
  return LOG2E * soft_capped(score, params.soft_cap);
}
`,
    factor: "params.scale",
    of: (score: string) => `capped(${score})`,
  },
} as const

/** The shader for a shape. Query a of a thread is head a mod heads of token a ÷ heads. */
export const source = ({ dtype, keyDim, valueDim, heads, rows, softCap }: Shape): string => {
  const { type, elements } = wide[dtype]
  const strip = strips[rows]
  const cap = softCap ? caps.capped : caps.plain
  const { functions, scale } = scales[dtype]
  const [keyScale, valueScale] = [scale("keys", "key"), scale("values", "value")]
  const factor = valueScale === "" ? "w" : "v"
  const [keyFours, valueFours, queries] = [keyDim / 4, valueDim / 4, rows * heads]
  const tokenOf = (a: number): number => Math.floor(a / heads)
  const each = (piece: (a: number) => string): string =>
    Array.from({ length: queries }, (_, a) => piece(a)).join("")
  const walk = /* wgsl */ `  var p = select(range.start, range.first, range.first < range.sinks);
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
    for (; p < stop; p++) {${strip.seen}
${lines(queries, (a) => `      s${a} = vec4f();`)}
${row[dtype]("keys", "key", keyFours, (i) => each((a) => ` s${a} = fma(q${a}_${i}, x, s${a});`))}
${
    lines(queries, (a) => {
      const sum = `(s${a}.x + s${a}.y) + (s${a}.z + s${a}.w)`
      const score = cap.of(keyScale === "" ? sum : `(${sum})${keyScale}`)
      return `      let score${a} = ${strip.score(tokenOf(a), score)};
      let top${a} = max(most${a}, score${a});
      let keep${a} = exp2(most${a} - top${a});
      let w${a} = ${strip.weight(tokenOf(a), `exp2(score${a} - top${a})`)};
      sum${a} = sum${a} * keep${a} + w${a};
      most${a} = top${a};${
        valueScale === ""
          ? ""
          : `\n      let v${a} = ${strip.weight(tokenOf(a), `w${a}${valueScale}`)};` // 0 · NaN is NaN
      }`
    })
  }
${
    row[dtype]("values", "value", valueFours, (i) =>
      strip.values + each((a) =>
        ` o${a}_${i} = fma(vec4f(${factor}${a}), ${
          strip.value(tokenOf(a))
        }, o${a}_${i} * keep${a});`
      ))
  }
      key += params.key_slot_stride / WIDE;
      value += params.value_slot_stride / WIDE;
    }
  }`
  return /* wgsl */ `
// split_attention.wgsl: softmax(cap(scale · q · kᵀ)) · v over a part of the positions that a token may see
//
// shape     ${dtype} pools, keys of ${keyDim} and values of ${valueDim}${
    softCap ? ", scores capped" : ""
  }
// thread    ${rows} × ${heads}: a strip of adjacent tokens × a pack of query heads that share a key head
// grid      fold(strips, in whole tiles · packs · splits)                 workgroup (WG, 1, 1)
// reads     q f32[tokens, num_q_heads, key_dim]
//           keys ${dtype}[key_pool]           values ${dtype}[value_pool]
//           block_tables u32[batch, max_blocks]: blocks of a sequence, from position 0
//           visible u32[tokens, 3]: row of block_tables, first visible position, own position
// writes    out f32[splits, tokens, num_q_heads, value_dim]
//           lse f32[splits, tokens, num_q_heads], natural log
// moves     key_dim + value_dim elements a position, once for all that a thread holds
// lanes     neighbours are splits of a strip, or else strips of a tile, which read the same rows at once;
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
// Elements of one load from a pool.
const WIDE: u32 = ${elements}u;

// Positions first … sinks − 1 and start … end − 1; end = 0 is none.
struct Sight { table: u32, first: u32, sinks: u32, start: u32, end: u32 }

fn sight(token: u32, split: u32) -> Sight {
  let table = visible[3u * token] * params.max_blocks;
  let first = visible[3u * token + 1u];
  let end = visible[3u * token + 2u] + 1u;
  if (first >= end) { return Sight(table, 0u, 0u, 0u, 0u); }
  var start = first;
  if (params.window > 0u && end > params.window) { start = max(first, end - params.window); }
  let run = min(params.block_size, 16u);
  let base = start - start % run;
  let share = (end - base + params.splits - 1u) / params.splits;
  let part = (share + run - 1u) / run * run;
  let begin = max(start, base + split * part);
  if (begin >= end) { return Sight(table, 0u, 0u, 0u, 0u); }
  let sinks = select(0u, min(params.sinks, start), split == 0u);
  return Sight(table, first, sinks, begin, min(end, base + split * part + part));
}
${IS_NAN_WGSL}
${strip.functions}${cap.functions}${functions}
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  let packs = params.num_q_heads / ${heads}u;
  let strips = (params.tokens + ${rows - 1}u) / ${rows}u;
  let split = i % params.splits;
  let lane = i / params.splits % params.tile;
  let pack = i / (params.splits * params.tile) % packs;
  let strip = i / (params.splits * params.tile * packs) * params.tile + lane;
  if (strip >= strips) { return; }
  let head = pack * ${heads}u;
  let kv_head = head * params.key_heads / params.num_q_heads;
  let factor = ${cap.factor};
${
    lines(rows, (r) =>
      `  let token${r} = min((strips - 1u - strip) * ${rows}u + ${r}u, params.tokens - 1u);
  let row${r} = token${r} * params.num_q_heads + head;
  let sight${r} = sight(token${r}, split);`)
  }
${
    lines(queries, (a) =>
      lines(keyFours, (i) =>
        `  let q${a}_${i} = q[(row${tokenOf(a)} + ${
          a % heads
        }u) * ${keyFours}u + ${i}u] * factor;`))
  }
${lines(queries, (a) => `  var s${a} = vec4f(); var most${a} = LSE_EMPTY; var sum${a} = 0.0;`)}
${lines(queries, (a) => lines(valueFours, (i) => `  var o${a}_${i} = vec4f();`))}
  var x = vec4f();
${elements === 8 ? "  var word = vec4u();\n" : ""}${
    rows === 2 ? "  var x0 = vec4f();\n  var x1 = vec4f();\n" : ""
  }${strip.around(walk)}
  let part = split * params.tokens * params.num_q_heads;
  // A sum is compared by its bits: some devices take NaN for 0.
${
    lines(queries, (a) =>
      `  let at${a} = part + row${tokenOf(a)} + ${a % heads}u;
  let empty${a} = (bitcast<u32>(sum${a}) & 0x7fffffffu) == 0u;
  let total${a} = select(sum${a}, 1.0, empty${a});
  let told${a} = select((most${a} + log2(total${a})) * LN2, total${a}, is_nan(total${a}));
  lse[at${a}] = select(told${a}, LSE_EMPTY, empty${a});
${lines(valueFours, (i) => `  out[at${a} * ${valueFours}u + ${i}u] = o${a}_${i} / total${a};`)}`)
  }
}
${threadOf}`
}
