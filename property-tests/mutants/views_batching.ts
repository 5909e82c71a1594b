/** Mistakes in continuous batching, where a block is a whole sequence. @module */
import { inside, type Mutant } from "./mutant.ts"

/** Those of lib/views/batching and of the two views over it. */
export const batches: ReadonlyArray<Mutant> = [
  ...inside("lib/views/ContinuousBatchingKvCache.ts", [
    [
      "cacheLengths.every((length)",
      "cacheLengths.some((length)",
      "one empty row makes a cache empty",
    ],
    [
      'viewOf(collection, 0, "keys")),',
      'viewOf(collection, 0, "values")),',
      "a tensor is a view of values",
    ],
    ["if (keys.layer !== values.layer) {", "if (false) {", "keys and values of two layers"],
    ["if (!same) return", "if (false) return", "keys and values of other rows"],
    [
      "keys.collection, keys.layer, query",
      "keys.collection, 0, query",
      "every layer attends as the first",
    ],
    [
      "yield* viewOf(next, self.layer, self.kind)",
      "yield* viewOf(next, 0, self.kind)",
      "what grew is a view of the first layer",
    ],
    [
      "({ maxCacheLength }: ContinuousBatchingKvCache): number =>\n  maxCacheLength",
      "({ maxSeqLength }: ContinuousBatchingKvCache): number =>\n  maxSeqLength",
      "the longest context is the longest prompt",
    ],
  ]),
  ...inside("lib/views/ContinuousBatchingKvCacheCollection.ts", [
    [
      "contextLen: cacheLengths[b]!,",
      "contextLen: cacheLengths[0]!,",
      "every row is as long as the first",
    ],
    [
      "blocks: [block],\n    contextLen",
      "blocks: [b],\n    contextLen",
      "rows by their number, not by their block",
    ],
    ['viewOf(self, layer, "values")', 'viewOf(self, layer, "keys")', "values are keys"],
    ["cacheLengths.with(bs, cache.length)", "cacheLengths", "a row that was replaced is as long"],
    ["?? sharedError(self, (b) => b === bs)", "", "a block of two rows is replaced"],
    [
      "options.arenaBlocks ?? options.numBlocks + 1)",
      "options.numBlocks + 1)",
      "blocks of memory dropped",
    ],
    ["Math.max(maxCacheLength, cache.length)", "maxCacheLength", "the longest row is forgotten"],
  ]),
  ...inside("lib/views/batching/dense.ts", [
    [
      'half(layers, "layers tokens valueHeads valueDim")',
      'half(0, "layers tokens valueHeads valueDim")',
      "values are keys",
    ],
    ["const from = page * blockSize\n", "const from = 0\n", "every block is the first"],
    ['kvDim: placement === "latent" ? 1 : 2', "kvDim: 2", "keys alone are refused"],
    [
      'yield* byBlock(values), "planes"',
      'yield* byBlock(keys), "planes"',
      "values are read as keys",
    ],
  ]),
  ...inside("lib/views/batching/elements.ts", [
    ["value >= 0 && value < size", "value >= 0 && value <= size", "an element after the last"],
    [
      "const at = head * view.kvParams.headSize + dim",
      "const at = head * view.kvParams.headSize",
      "dim dropped",
    ],
    [
      "from: tok, to: tok + 1, row: 0 }]),",
      "from: 0, to: 1, row: 0 }]),",
      "every token is the first",
    ],
    [
      "(layer * numHeads + head) * headSize + dim",
      "head * headSize + dim",
      "every layer stores in the first",
    ],
    [
      "const end = at + values.shape[0]!",
      "const end = at + 1",
      "one element is replaced by several",
    ],
    [
      "return tok < length ? undefined",
      "return tok <= length ? undefined",
      "a token that nobody wrote is read",
    ],
    ["if (tok > cache.length) {", "if (tok > cache.length + 1) {", "a store may leave a hole"],
    [
      "offset: tok, from: 0, count: 1",
      "offset: 0, from: 0, count: 1",
      "every store goes to the first token",
    ],
    ["row: page * maxSeqLen }", "row: 0 }", "blocks are gathered over each other"],
    ["dim + width <= headSize", "dim + width <= headSize + 1", "an element of the next head"],
  ]),
  ...inside("lib/views/batching/grow.ts", [
    [
      "if (needed > maxSeqLen) return",
      "if (needed > maxSeqLen + 1) return",
      "one token more than a block holds",
    ],
    [
      "return sharedError(self, (b) => queryLengths[b]! > 0)",
      "return undefined",
      "two rows grow in one block",
    ],
    ["      from += count\n", "", "every row gets the first rows"],
    [
      "offset: cacheLengths[b]!, from",
      "offset: 0, from",
      "rows are written from the first token on",
    ],
    [
      "pages = Pages.set(pages, page, caches[b]!)",
      "page",
      "what a row does not see stays in its block",
    ],
    ["maxSeqLength: largest(added, 0)", "maxSeqLength: 0", "the longest prompt is forgotten"],
    ["cache === before[b] ? pool", "cache !== before[b] ? pool", "rows that grew are dropped"],
  ]),
  ...inside("lib/views/batching/plans.ts", [
    [
      "tok * strides.slot + head * strides.head + dim",
      "tok * strides.slot + head * strides.head",
      "dim dropped",
    ],
    [
      "base + blockOf(cache) * strides.block + within",
      "base + block * strides.block + within",
      "blocks lie where the caller numbers them",
    ],
    [
      "shape: [tileSize, view.kvParams.headSize - dim]",
      "shape: [tileSize, view.kvParams.headSize]",
      "a row runs into the next head",
    ],
    [
      "isKMajor ? [slot, 1] : [1, slot]",
      "isKMajor ? [1, slot] : [slot, 1]",
      "axes of a tile swapped",
    ],
    ["(firstRows[bs]! + tok) * slot + col", "(firstRows[bs]! + tok) * slot", "columns dropped"],
    ["tokens[bs]! - tileM + 1)", "tokens[bs]! - tileM + 2)", "a tile over the end of a sequence"],
    ["(block / slot) + tok)", "(block / slot))", "tokens dropped"],
    [
      "head * strided(view).head",
      "head * strided(view).slot",
      "strides of slots and heads swapped",
    ],
    ["base + viewOffset", "viewOffset", "the base is dropped"],
  ]),
  ...inside("lib/views/batching/value.ts", [
    ["if (cacheLengths[b]! <= length) continue", "continue", "a row is longer than its block"],
    ["bad !== undefined || maxCacheLength >= longest", "true", "the longest row is too long"],
    [
      "if (value > most) return",
      "if (value > most + 1) return",
      "one token more than a block holds",
    ],
    ["if (layout.groups.length !== 1) {", "if (false) {", "arenas of several groups"],
    ["sequence < lookupTable.length", "sequence <= lookupTable.length", "a row after the last"],
    [
      "if (other === undefined || !changes(b)) continue",
      "if ((other ?? -1) < b || !changes(b)) continue",
      "only the first of two rows is refused",
    ],
    [
      "options.maxCacheLength ?? largest(cacheLengths, 0)",
      "options.maxCacheLength ?? 0",
      "the longest row is 0",
    ],
    [
      "blocksStride: [block, slot, head, 1]",
      "blocksStride: [block, head, slot, 1]",
      "strides of slots and heads swapped",
    ],
  ]),
]
