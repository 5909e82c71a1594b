/** Mistakes in how a cache lies in memory, and in what is read of it. @module */
import { inside, type Mutant } from "./mutant.ts"

/** Those of addresses, layouts, tables, batches and pages. */
export const paging: ReadonlyArray<Mutant> = [
  ...inside("lib/cache/Table.ts", [
    [
      "full: full.with(k, withRef(full[k]!, i % size, ref)), tail }",
      "full, tail }",
      "a reference in a full chunk is not replaced",
    ],
    ["changed.ids.length < size", "changed.ids.length <= size", "a chunk is full one too late"],
    [
      "slice(table.full[k] ?? table.tail, n % size)",
      "slice(table.tail, n % size)",
      "a shorter table ends with the old tail",
    ],
    [
      "i <= refs.length; i += size",
      "i < refs.length; i += size",
      "a table of whole chunks has no tail",
    ],
    ["start + full.length * size)", "start)", "the tail goes over the first chunk"],
    ["generation: generations[i % size]! }", "generation: 0 }", "generations are forgotten"],
    ["  ids.set(chunk.ids)\n", "  chunk.ids.set(ids)\n", "older references are lost"],
  ], ["property-tests/cache/table.test.ts", "property-tests/laws/costs.test.ts"]),
  ...inside("lib/cache/Layout.ts", [
    ["pool: 2 * layer + second", "pool: 2 * layer", "keys and values in one pool"],
    ["head: blockSize * size", "head: size", "a head's stride is a slot's"],
    ["base: second * size", "base: 0", "interleaved values over keys"],
    ["slot: 2 * heads * size", "slot: heads * size", "interleaved slots lie over each other"],
    [
      "(second * layers.length + layers.indexOf(layer)) * plane",
      "layers.indexOf(layer) * plane",
      "fused values over keys",
    ],
    ["base: layers.indexOf(layer) * plane", "base: 0", "latent layers over each other"],
    [
      "const row = width(layout.dtype, layout.keyDim)",
      "const row = width(layout.dtype, dim)",
      "latent values have a stride of their own",
    ],
    [
      "numBlocks[groupOf(layout, layer)]! + 1",
      "numBlocks[groupOf(layout, layer)]!",
      "no room for the dummy block",
    ],
    ["if (value <= 2 ** 32) continue", "if (value <= 2 ** 33) continue", "offsets beyond 32 bits"],
    ['(row("keys") + row("values"))', '2 * row("keys")', "values count as keys"],
    ["named.every((layer, i) => layer === i)", "true", "groups that are no partition"],
    ['"int8" ? "f32" : dtype', '"int8" ? "f16" : dtype', "rows for int8 are halves"],
  ], ["property-tests/laws/refusals.test.ts", "property-tests/laws/reading.test.ts"]),
  ...inside("lib/cache/address.ts", [
    ["blockStride: block", "blockStride: head", "strides of blocks and heads swapped"],
    ["slotStride: slot", "slotStride: head", "slots as far apart as heads"],
    ["      base,\n", "      base: 0,\n", "the base is dropped"],
    ["pools[pool]!", "pools[0]!", "every layer in the first pool"],
  ], ["property-tests/laws/reading.test.ts"]),
  ...inside("lib/cache/Arena.ts", [
    ["/ oneOfEach) - 1 //", "/ oneOfEach) //", "the dummy block is not counted"],
    ["bytes, limit })", "bytes: limit, limit })", "an arena that is too large is said to fit"],
    ["sum + (n > 1 ? 1 : 0)", "sum + (n > 0 ? 1 : 0)", "every held block counts as shared"],
    ["free: numFree,", "free: numFree - 1,", "one block less is free"],
    ['slot.stale = "its arena is closed"', "undefined", "a closed arena is read"],
    [
      "Math.min(layout.capacity, numBlocks * layout.blockSize)",
      "numBlocks * layout.blockSize",
      "tokens beyond the capacity",
    ],
    [
      "if (counts.length !== layout.groups.length) {",
      "if (counts.length < layout.groups.length) {",
      "numbers for groups that are not there",
    ],
  ], [
    "property-tests/laws/refusals.test.ts",
    "property-tests/laws/errors.test.ts",
    "property-tests/laws/int8.test.ts",
  ]),
  ...inside("lib/cache/Batch.ts", [
    ["const dummy = arena.ledgers[group]!.numBlocks", "const dummy = 0", "padding shows block 0"],
    [
      "    words.fill(dummy, r * maxBlocks, r * maxBlocks + Math.min(gone, maxBlocks))\n",
      "",
      "dropped blocks are shown",
    ],
    [
      "tables[group]!, words, r * maxBlocks)",
      "tables[0]!, words, r * maxBlocks)",
      "tables of groups swapped",
    ],
    [
      "Math.floor(starts[group]! / blockSize)",
      "Math.ceil(starts[group]! / blockSize)",
      "a block half dropped is not shown",
    ],
    [
      "visible.set([r, start, position], 3 * t)",
      "visible.set([r, start, position - 1], 3 * t)",
      "a token does not see itself",
    ],
    [
      "id * blockSize + position % blockSize]",
      "id * blockSize + position % (blockSize - 1)]",
      "offset at a block's end",
    ],
    ["cachedLen + i)\n", "i)\n", "positions count from 0 in each step"],
  ], ["property-tests/laws/runs.test.ts", "property-tests/laws/reading.test.ts"]),
  ...inside("lib/cache/gather.ts", [
    [
      "const position = from + i\n",
      "const position = i\n",
      "a cache that dropped rows is read from 0",
    ],
    [
      "!.id * blockSize + position % blockSize",
      "!.id * blockSize",
      "every row of a block is its first",
    ],
    ["last.row + last.to - last.from === piece.row", "true", "pieces with a gap are one run"],
    ["layer * tokens + run[0]!.row", "run[0]!.row", "every layer goes to the first"],
    ["Math.max(...cache.starts)", "Math.min(...cache.starts)", "what some layer dropped is read"],
    ["=== tokens\n", "!== tokens\n", "what nobody wrote is not zero"],
    ['      yield* realizeIn(flight, "gather a cache")\n', "", "an owed cache is not placed"],
  ]),
  ...inside("lib/cache/stored.ts", [
    ["givenAs(layout))", '"f32")', "rows are not rounded to what the arena stores"],
    ["givenAs(layout))", '"bf16")', "rows are rounded to bf16"],
    ["givenAs(layout))", '"f16")', "rows are rounded to f16"],
  ], ["property-tests/views"]),
  ...inside("lib/cache/adopt.ts", [
    [
      "reduce((sum, [, used]) => sum + used, 0)",
      "reduce((sum, [, used]) => sum + used, 1)",
      "one token more than the pages hold",
    ],
    ["Math.min(blockSize, length - i * blockSize)", "blockSize", "the last page is full"],
    [
      "Table.of([Table.at(table, i)!])",
      "Table.of([Table.at(table, 0)!])",
      "every page is the first block",
    ],
    ["tablesOf(node)![group]!, 0)!", "tablesOf(node)![0]!, 0)!", "tables of groups swapped"],
  ]),
  ...inside("lib/cache/Pages.ts", [
    [
      "next.offset >= run.offset + run.count",
      "next.offset + 1 >= run.offset + run.count",
      "runs over each other by one",
    ],
    ["a.page - b.page || a.offset - b.offset", "a.page - b.page", "runs in the order they come in"],
    ["value < numPages\n", "value <= numPages\n", "a page after the last"],
    ["Math.min(blockSize, contextLen - i * blockSize)", "blockSize", "the last page is read whole"],
    ["cache.length < used", "cache.length + 1 < used", "a row that nobody wrote is read"],
    ["row: i * blockSize,", "row: 0,", "pages are gathered over each other"],
    ["row: page * blockSize }", "row: 0 }", "pages of the pool are gathered over each other"],
    ["HashMap.removeMany(self.written, pages)", "self.written", "a page that was cleared stays"],
    ["    yield* writeRuns(empty(self.arena), rows, [])\n", "", "rows of no runs are not checked"],
    [
      "({ at: offset, from, count })",
      "({ at: offset, from: 0, count })",
      "each run begins with the first row",
    ],
  ]),
]
