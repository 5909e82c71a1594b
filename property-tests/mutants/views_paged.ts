/** Mistakes in the paged cache, where the caller numbers blocks. @module */
import { inside, type Mutant } from "./mutant.ts"

/** Those of lib/views/paged; `PagedKvCache.ts` only exports what they make. */
export const paged: ReadonlyArray<Mutant> = [
  ...inside("lib/views/paged/attention.ts", [
    ["first > 1 && second > 1", "false", "queries are named otherwise, and not moved"],
    ["{ ...rest, ...mask }", "{ ...rest }", "the mask dropped"],
    [
      "cache.seqLengths[sequence]!,\n    queryLen,",
      "cache.seqLengths[0]!,\n    queryLen,",
      "every sequence is as long as the first",
    ],
    ["queryLen: query.shape[1]! }", "queryLen: query.shape[0]! }", "heads count as queries"],
    [
      "const shown: Mask = { causal: false }",
      "const shown: Mask = { causal: true }",
      "later tokens are hidden unasked",
    ],
  ]),
  ...inside("lib/views/paged/blocks.ts", [
    ["Math.max(0, needed - has.length)", "needed", "blocks are taken that the sequence has"],
    [
      "if (needed > maxBlocksPerSeq) {",
      "if (needed > maxBlocksPerSeq + 1) {",
      "one block more than a row holds",
    ],
    ["? ownerError(owners, block)", "? undefined", "another sequence's block is taken"],
    [
      "new DuplicateBlock({ block, owner: `freeBlockIds[${earlier}]` })",
      "undefined",
      "one block is taken twice",
    ],
    [
      "if (!HashMap.has(owners, block)) found.push(block)",
      "found.push(block)",
      "the lowest blocks, free or not",
    ],
    ["Pages.clear(pages, ids)", "pages", "a block that was freed has its rows"],
    ["HashMap.removeMany(cache.owners, freed)", "cache.owners", "a freed block stays somebody's"],
    ["smallest(freed, cache.lowest)", "cache.lowest", "freed blocks are not found again"],
    [
      "seqLengths.with(sequence, length),\n      owners",
      "seqLengths,\n      owners",
      "a sequence that was cut is as long",
    ],
    ["length - (kept.length - 1) * blockSize", "blockSize", "the last block is kept whole"],
  ]),
  ...inside("lib/views/paged/convert.ts", [
    [
      "blocksOf(blockTable[sequence]!), seqLengths[sequence]!",
      "blocksOf(blockTable[0]!), seqLengths[sequence]!",
      "every row is the first",
    ],
    ["seqLengths.with(sequence, length) }", "seqLengths }", "a row that was replaced is as long"],
    ["freeSequence(self, sequence),", "freeSequence(self, 0),", "another sequence is freed"],
  ]),
  ...inside("lib/views/paged/from.ts", [
    ["row.length !== maxBlocksPerSeq)", "row.length > maxBlocksPerSeq)", "rows of several widths"],
    [": block === -1", ": block < 0", "cells of −2"],
    [
      "            ownerError(owners, block)\n",
      "            undefined\n",
      "a block of two sequences",
    ],
    [
      "if (i < blocks.length) owners = HashMap.set(owners, block, sequence)",
      "",
      "blocks belong to nobody",
    ],
  ]),
  ...inside("lib/views/paged/rows.ts", [
    ["const offset = at % blockSize\n", "const offset = 0\n", "offset at a block's end"],
    ["Math.min(blockSize - offset, end - at)", "end - at", "a run crosses into the next block"],
    ["from: at - length, count", "from: 0, count", "every run begins with the first row"],
    [
      "seqLengths.with(sequence, end) }",
      "seqLengths.with(sequence, tokens) }",
      "a sequence is as long as was appended",
    ],
    ["if (!quantize) return", "if (false) return", "rows are quantised unasked"],
    ["if (needed > blocks.length) {", "if (false) {", "rows beyond the sequence's blocks"],
    ["({ values }) => values)", "({ keys }) => keys)", "the pool of values is that of keys"],
  ]),
  ...inside("lib/views/paged/value.ts", [
    [
      "[Keep]: () => pages[Keep]() }\n}\n\n/** ",
      "[Keep]: self[Keep] }\n}\n\n/** ",
      "an update keeps the rows of the old",
    ],
    ["if (layers !== 1) {", "if (layers < 1) {", "arenas of several layers"],
    ["const end = row.indexOf(-1)", "const end = row.lastIndexOf(-1)", "cells of −1 are blocks"],
    [
      "isWhole(sequence, 0) && sequence < batchSize",
      "isWhole(sequence, 0) && sequence <= batchSize",
      "a sequence after the last",
    ],
    [
      "if (given.numBlocks > most) {",
      "if (given.numBlocks > most + 1) {",
      "one block more than the arena has",
    ],
    ["numBlocks + spareBlocks)", "numBlocks)", "spare blocks dropped"],
    [
      "keyHeads === valueHeads && keyDim === valueDim",
      "keyHeads === valueHeads",
      "values of another width",
    ],
  ]),
]
