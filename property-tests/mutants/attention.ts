/** Mistakes in lib/attention. @module */
import { masking } from "./attention_masks.ts"
import { inside, type Mutant } from "./mutant.ts"

const mutants: ReadonlyArray<Mutant> = [
  ...inside("lib/attention/Attention.ts", [
    [
      "Window.lowest(window, cachedLen)",
      "Window.lowest(window, cachedLen + 1)",
      "the first new token of a step needs one position less",
    ],
    ["queryLen: counts[i]!,", "queryLen: 1,", "one query a cache, whatever the counts"],
    ["contextLen: cache.length,", "contextLen: cache.length - 1,", "the last token is not seen"],
    ["caches.map(() => 1), options", "caches.map(() => 1)", "decode drops its options"],
    ["if (gone !== undefined) return Result.fail(gone)", "", "a step's window is silently shorter"],
    [
      "writeLayer(rec, step, layer, k, v)",
      "writeLayer(rec, step, layer, v, k)",
      "keys and values swapped",
    ],
  ], ["property-tests/laws/refusals.test.ts", "property-tests/laws/runs.test.ts"]),
  ...inside("lib/attention/AttentionState.ts", [
    ["(x * wa + b.out[i]! * wb) / sum", "(x + b.out[i]!) / 2", "merge without rescaling"],
    ["  if (isEmpty(b)) return a\n", "", "NaN of an empty state multiplied instead of left out"],
    ["  if (isEmpty(a)) return b\n", "", "an empty state on the left is merged"],
    ["lse: max + Math.log(sum)", "lse: max", "merge forgets the smaller sum"],
    [
      "[Math.exp(a.lse - max), Math.exp(b.lse - max)]",
      "[Math.exp(b.lse - max), Math.exp(a.lse - max)]",
      "weights of a merge swapped",
    ],
    [
      'Shape.sizesError("lses", lses.shape, { parts, tokens, numQHeads: heads })',
      "undefined",
      "log-sum-exps of another shape are merged",
    ],
    [
      'axes: "parts rows dim", shape: [parts, rows, dim]',
      'axes: "parts rows dim", shape: [parts, rows - 1, dim]',
      "one row of the parts is not merged",
    ],
  ]),
  ...inside("lib/attention/launch.ts", [
    ["scale: scale ?? 1 / Math.sqrt(keyDim)", "scale: scale ?? 1", "the default scale dropped"],
    ["softCap: softCap ?? 0", "softCap: 0", "soft cap dropped"],
    [
      "Math.min(window.last ?? 0, mostWord)",
      "(window.last ?? 0) && window.last! + 1",
      "window off by one",
    ],
    ["Math.min(window.sinks, mostWord)", "0", "sinks dropped"],
    ["valueHeadStride: values.head", "valueHeadStride: keys.head", "strides of keys for values"],
    ["keyBase: keys.base", "keyBase: values.base", "bases swapped"],
    ["keySlotStride: keys.slot", "keySlotStride: keys.head", "strides of slots and heads swapped"],
    ["if (numQHeads % heads !== 0) {", "if (false) {", "heads that make no groups are taken"],
    [
      "if (headDim !== keyDim) return",
      "if (headDim < keyDim) return",
      "queries wider than keys are taken",
    ],
    [
      ": mergeTo(rec, out, lse)",
      ": Result.succeed({ out: { ...out, ...whole.out }, lse: { ...lse, ...whole.lse } })",
      "parts are not merged",
    ],
  ]),
  ...inside("lib/attention/options.ts", [
    [
      "value <= needed[i]!) continue",
      "value <= needed[i]! + 1) continue",
      "a window one position shorter passes",
    ],
    ["isAboveF32(value)", "isF32(value) && value >= 0", "a soft cap of 0"],
    ["layers === 1 ? 0 : NaN", "0", "the layer of a read is guessed"],
    ["layer < arena.layout.layers", "layer <= arena.layout.layers", "a layer after the last"],
    [
      "Window.all : Window.last(window)",
      "Window.all : Window.last(window + 1)",
      "the group's window off by one",
    ],
    ["  isF32(value)\n", "  !Number.isNaN(value)\n", "an infinite scale"],
  ]),
  // Its groups must have let go of other blocks before their tables differ: a windowed model's have.
  ...inside("lib/attention/Attention.ts", [
    [
      "sourceOf(arena, layer), groups[group]!, q",
      "sourceOf(arena, layer), groups[0]!, q",
      "tables of groups swapped",
    ],
  ], ["property-tests/model/conversation.test.ts"]),
  ...inside("lib/attention/over.ts", [
    [
      "Batch.blockTables(arena, group, rows)",
      "Batch.blockTables(arena, 0, rows)",
      "tables of groups swapped",
    ],
    [
      "options.window ?? groupWindow(arena, group)",
      "options.window",
      "the window of the group dropped",
    ],
    [
      "    if (gone !== undefined) return yield* Result.fail(gone)\n",
      "",
      "a window is silently shorter",
    ],
    ["starts[group]!))\n", "starts[0]!))\n", "starts of groups swapped"],
    [
      "launch(rec, source, tables, q, { window, scale, softCap })",
      "launch(rec, source, tables, q, { window, scale, softCap: undefined })",
      "soft cap dropped",
    ],
    [
      "launch(rec, source, tables, q, { window, scale,",
      "launch(rec, source, tables, q, { window, scale: undefined,",
      "scale dropped",
    ],
  ]),
  ...inside("lib/attention/pages.ts", [
    ["!, 0)!))", "!, 0)!).reverse())", "blocks of a context in the wrong order"],
    ["tablesOf(node)![group]!", "tablesOf(node)![0]!", "tables of groups swapped"],
    [
      "      contextLen,\n        queryLen,\n",
      "      contextLen,\n        queryLen: 1,\n",
      "one query a row",
    ],
    [
      "        contextLen,\n        queryLen,\n",
      "        contextLen: contextLen - 1,\n        queryLen,\n",
      "the last token is not seen",
    ],
    ["value >= 0) continue", "value >= -1) continue", "a context of -1 tokens"],
  ]),
  ...inside("lib/attention/plan.ts", [
    ["if (group % heads === 0) return heads", "return heads", "a pack that divides no group"],
    ["tokens === 0 || ", "", "no tokens are planned"],
    [
      "layout.keyHeads !== layout.valueHeads",
      "false",
      "groups of values that are not those of keys",
    ],
    ["|| !aligned(problem)", "", "rows that begin between vectors"],
    ["part = { least: 64", "part = { least: 32", "parts shorter than worth a merge"],
    ["4 * mostVectors / (rows", "8 * mostVectors / (rows", "twice the registers"],
  ]),
  ...inside("lib/attention/tensors.ts", [
    ['block: stride("pages")', 'block: stride("heads")', "strides of pages and heads swapped"],
    ['slot: stride("slots")', 'slot: stride("heads")', "strides of slots and heads swapped"],
    ["words[r * maxBlocks + i] = value", "words[i] = value", "every row has the pages of the last"],
    ["value < pages))", "value <= pages))", "a page after the last"],
    [
      "keys: keys.strides, values: values.strides",
      "keys: keys.strides, values: keys.strides",
      "values by the strides of keys",
    ],
    [
      'const values = yield* read("valuePages", 1,',
      'const values = yield* read("valuePages", 0,',
      "values are keys",
    ],
    ["if (keyPages.dtype !== valuePages.dtype) {", "if (false) {", "halves of two dtypes"],
  ]),
  ...masking,
]

export default mutants
