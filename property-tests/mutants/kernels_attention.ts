/** Mistakes in the kernels of attention. @module */
import { inside, type Mutant } from "./mutant.ts"

/** Those of attention and merge, and what they share. */
export const attending: ReadonlyArray<Mutant> = [
  ...inside("kernels/attend.ts", [
    ["position + 1 - window)", "position - window)", "window off by one"],
    ["sinks: Math.min(sinks, start)", "sinks: 0", "sinks dropped"],
    ["(a + b + c + d) * scale", "(a + b + c + d)", "scale dropped"],
    [
      "scores[p] = softCap === 0 ? s : softCap * Math.tanh(s / softCap)",
      "scores[p] = s",
      "soft cap dropped",
    ],
    [
      "max: number,\n  scores: Float64Array,\n  mean: Float64Array,\n): number => {\n  const dim = mean.length\n  const even = end - (end - from) % 2",
      "max: number,\n  scores: Float64Array,\n  mean: Float64Array,\n): number => {\n  const dim = mean.length\n  const even = end - (end - from) % 2 - 2",
      "two positions are left out of the mean",
    ],
    [
      "const run = slotStride === dim ? blockSize : 1",
      "const run = blockSize",
      "rows that lie apart are read together",
    ],
    ["mean[i] = mean[i]! / sum", "mean[i] = mean[i]!", "the mean is not divided"],
    [
      "if (first >= end) return LSE_EMPTY",
      "if (first > end) return LSE_EMPTY",
      "nothing seen is divided by nothing",
    ],
    ["table[(p - offset) / blockSize]!", "table[0]!", "every block is the first"],
  ]),
  ...inside("kernels/paged_attention.ts", [
    ["Math.floor(h * keyHeads / numQHeads)", "h % keyHeads", "the wrong key head of a group"],
    ["Math.floor(h * valueHeads / numQHeads)", "h % valueHeads", "the wrong value head of a group"],
    ["sights[end]!.row === sights[token]!.row", "true", "tokens of two sequences read one table"],
    ["out.set(mean, i * valueDim)", "out.set(mean, i * keyDim)", "outputs as wide as keys"],
  ]),
  ...inside("kernels/paged_attention.wgsl.ts", [
    ["p <= position; p++", "p < position; p++", "a token does not see itself"],
    [
      "start = max(first, position + 1u - params.window)",
      "start = max(first, position - params.window)",
      "window off by one",
    ],
    ["if (p >= params.sinks) { p = max(p, start); }", "p = max(p, start);", "sinks dropped"],
    ["sum *= shrink;", "", "a larger score does not rescale the sum"],
    ["out[result + d] *= shrink;", "", "a larger score does not rescale the mean"],
    ["capped(score * params.scale)", "score * params.scale", "soft cap dropped"],
    [
      "head * params.key_heads / params.num_q_heads",
      "head % params.key_heads",
      "the wrong key head of a group",
    ],
    [
      "if (first > position) { lse[i] = LSE_EMPTY; return; }",
      "",
      "nothing seen is divided by nothing",
    ],
    ["out[result + d] /= sum;", "", "the mean is not divided"],
    [
      "p % params.block_size;",
      "p % (params.block_size - 1u + u32(params.block_size == 1u));",
      "offset at a block's end",
    ],
  ]),
  ...inside("kernels/merge_states.ts", [
    [
      "if (lses[part]! === LSE_EMPTY) continue\n",
      "",
      "NaN of an empty part multiplied instead of left out",
    ],
    ["Math.exp(lses[part]! - max)", "1", "merge without rescaling"],
    ["max + Math.log(sum)", "max", "merge forgets the smaller sums"],
    [
      "sum === 0 ? 0 : mean[i]! / sum",
      "mean[i]! / sum",
      "a row of empty parts is divided by nothing",
    ],
  ]),
  ...inside("kernels/merge_states.wgsl.ts", [
    ["exp(lses[part] - most)", "1.0", "merge without rescaling"],
    ["if (lses[part] == LSE_EMPTY) { continue; }", "", "empty parts are multiplied"],
    ["lse[row] = most + log(sum)", "lse[row] = most", "merge forgets the smaller sums"],
    ["i % params.dim == 0u", "i % params.dim == 1u", "the log-sum-exp of rows of one element"],
  ]),
  ...inside("kernels/split_attention.ts", [
    ["window === 0 ? first : Math.max(first, end - window)", "first", "the window dropped"],
    [
      "Math.ceil(Math.ceil((end - base) / splits) / run) * run",
      "Math.floor((end - base) / splits / run) * run",
      "parts that do not reach the end",
    ],
    [
      "visible: Uint32Array.of(row, from, to - 1), window: 0",
      "visible: Uint32Array.of(row, from, to), window: 0",
      "a part sees one of the next",
    ],
    ["sinks: Math.min(sinks, start)", "sinks: 0", "sinks dropped"],
    [
      "const key = `${nameOf(shape)}_${shape.dtype}`",
      "const key = nameOf(shape)",
      "one kernel for all dtypes",
    ],
  ]),
  ...inside("kernels/split_attention.wgsl.ts", [
    [
      "start = max(first, end - params.window)",
      "start = max(first, end - params.window - 1u)",
      "window off by one",
    ],
    [
      "select(0u, min(params.sinks, start), split == 0u)",
      "min(params.sinks, start)",
      "every split sees the sinks",
    ],
    ["if (begin >= end) { return Sight(table, 0u, 0u, 0u, 0u); }\n", "", "a part past the end"],
    [
      "begin, min(end, base + split * part + part))",
      "begin, min(end, base + split * part + part + 1u))",
      "a part sees one of the next",
    ],
    [
      "head * params.key_heads / params.num_q_heads;",
      "head % params.key_heads;",
      "the wrong key head of a group",
    ],
    [
      "sum${a} = sum${a} * keep${a} + w${a};",
      "sum${a} = sum${a} + w${a};",
      "a larger score does not rescale the sum",
    ],
    ["(most${a} + log2(total${a})) * LN2", "most${a} + log2(total${a})", "a logarithm of base 2"],
    ["if (a.end == 0u) { return b; }", "", "two tokens, the first sees nothing"],
    [
      "if (p < range.sinks) { stop = min(stop, range.sinks); }",
      "",
      "sinks run on to the end of their block",
    ],
    ["`select(0.0, ${weight}, seen${r})`", "weight", "a token sees what its neighbour sees"],
    [
      'plain: { functions: "", factor: "params.scale * LOG2E"',
      'plain: { functions: "", factor: "LOG2E"',
      "scale dropped",
    ],
  ]),
]
