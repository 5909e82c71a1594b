/** Mistakes in lib/views: what other libraries' caches say over the same pages. @module */
import { inside, type Mutant } from "./mutant.ts"
import { batches } from "./views_batching.ts"
import { paged } from "./views_paged.ts"
import { shards } from "./views_shards.ts"
import { transformers } from "./views_transformer.ts"

const mutants: ReadonlyArray<Mutant> = [
  ...inside("lib/views/whole.ts", [
    ["Number.isSafeInteger(value)", "Number.isFinite(value)", "a fraction is whole"],
    ["&& value! >= least", "", "whole numbers below the least"],
    ["!isWhole(value, least)) ?? []", "isWhole(value, least)) ?? []", "right numbers are refused"],
  ]),
  ...inside("lib/views/pageAttention.ts", [
    ["Math.max(0, length - window)", "Math.max(0, length - window + 1)", "window off by one"],
    ["  causal: false,\n", "  causal: true,\n  positions: [[0]],\n", "queries stand at position 0"],
    [
      "if (value > capacity) return",
      "if (value > capacity + 1) return",
      "a context beyond its pages",
    ],
    ["value > maxContextLen)", "value > maxContextLen + 1)", "a context beyond the longest"],
    ["attnScale !== undefined && {", "false && {", "scale dropped"],
    ["attnLogitsSoftCap !== undefined && {", "false && {", "soft cap dropped"],
    ["options.slidingWindow ?? own)", "options.slidingWindow)", "the window of the group dropped"],
    ["options.slidingWindow ?? own)", "own)", "the window of the call dropped"],
    ["{ ...read, layer: chosen }", "{ ...read, layer: 0 }", "every layer reads the first"],
    ['axes.split(" ").indexOf("slots")', "0", "pages of as many slots as heads"],
  ]),
  ...inside("lib/views/interchange.ts", [
    ["if (from[field] === into[field]) continue", "continue", "arenas of other sizes are taken"],
    ["!cast && from.dtype !== into.dtype", "false", "rows are rounded unasked"],
    [
      'into.placement === "latent" && from.placement !== "latent"',
      "false",
      "values are dropped where keys hold them",
    ],
    ["if (length > capacity) return", "if (length > capacity + blockSize) return", "pages too few"],
    ["if (used.indexOf(block) !== i) return", "if (false) return", "a page twice in a row"],
    [
      'if (first > 0) {\n    const name = "the first position the cache sees"\n    return',
      'if (first > 1e9) {\n    const name = "the first position the cache sees"\n    return',
      "a cache that let go is divided",
    ],
    ["const from = i * blockSize\n", "const from = 0\n", "every page gets the first rows"],
    ["Math.min(blockSize, cache.length - from)", "blockSize", "the last page is written whole"],
    [
      "Pages.set(pool, used[i]!, part)",
      "Pages.set(pool, i, part)",
      "pages by their place in the row",
    ],
    [
      "Pages.write(Pages.clear(pages, used), rows, runs)",
      "Pages.write(pages, rows, runs)",
      "pages keep older rows",
    ],
    ["copied: value.slot !== x.slot", "copied: false", "a copy is said to be none"],
  ]),
  ...inside("lib/views/utilities/reference.ts", [
    ["(page * pageSize + offset) * width", "(page * pageSize) * width", "offsets dropped"],
    ["newKv.data[from * width + i]!", "newKv.data[i]!", "every slice gets the first rows"],
    [
      "const data = Float32Array.from(kvCache.data)",
      "const data = kvCache.data as Float32Array",
      "the cache given is changed",
    ],
    ["combinedHeads % 2 !== 0", "false", "a key without a value"],
    ["positions === 0 || positions % pageSize !== 0", "positions === 0", "part of a page"],
  ]),
  ...inside("lib/views/utilities/slices.ts", [
    ["(a % v === 0 ? 0 : 1)", "1", "a whole quotient is rounded up"],
    ["Math.min(end, (logical + 1) * pageSize) - at", "end - at", "a slice runs over its page"],
    ["page * pageSize + at % pageSize", "page * pageSize", "offsets dropped"],
    ["        source += count\n", "", "every slice begins at the first row"],
    ["needed > table.length)", "needed > table.length + 1)", "a page that the table has not"],
    ["list[i] ?? 0)", "list[i] ?? 1)", "padding is no slice of nothing"],
    ["- to % pageSize\n", "\n", "a slice may cross into the next page"],
    [
      "starts[next]! >= starts[i]! + lengths[i]!)",
      "starts[next]! + 1 >= starts[i]! + lengths[i]!)",
      "slices over each other by one",
    ],
    ["offset: slices[0][i]! % pageSize", "offset: 0", "runs begin with their page"],
  ]),
  ...inside("lib/views/utilities/update.ts", [
    ["pageSize !== arena.layout.blockSize", "false", "pages of another size"],
    ["from: page * blockSize,", "from: 0,", "every page is the first"],
    [
      "combinedHeads: 2 * keyHeads, headDim: keyDim",
      "combinedHeads: undefined, headDim: keyDim",
      "any number of heads",
    ],
    [
      "positions === 0 || positions % blockSize !== 0",
      "positions === 0",
      "part of a page is forgotten",
    ],
    [
      "concat({ ...keys, axes, shape }, { ...values, axes, shape }",
      "concat({ ...values, axes, shape }, { ...keys, axes, shape }",
      "keys and values swapped",
    ],
  ]),
  ...paged,
  ...batches,
  ...transformers,
  ...shards,
]

export default mutants
