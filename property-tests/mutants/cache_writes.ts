/** Mistakes in what is planned, written and stepped. @module */
import { inside, type Mutant } from "./mutant.ts"

/** Those of plans, steps and pure writes. */
export const writing: ReadonlyArray<Mutant> = [
  ...inside("lib/cache/Plan.ts", [
    [
      "ref === undefined || mark !== used || at < base.length",
      "ref === undefined",
      "copy-on-write skipped",
    ],
    ["|| at < base.length)", ")", "seen slots are written again in place"],
    ["mark !== used", "mark! > used + 1", "fill mark off by one"],
    [
      "draft.fill.get(old.id) ?? ledger.fill[old.id]",
      "ledger.fill[old.id]",
      "siblings do not see each other's marks",
    ],
    [
      "Math.min(blockSize, to - first)))",
      "Math.min(blockSize, to - first - 1)))",
      "the new mark is one too low",
    ],
    [
      "Math.max(0, Math.min(blockSize, base.length - first))",
      "Math.max(0, Math.min(blockSize, base.length - first - 1))",
      "slots the base sees, off by one",
    ],
    [
      'if ("slot" in from) draft.copies.push(from.slot, slot)',
      'if ("slot" in from) draft.copies.push(slot, from.slot)',
      "a copy goes the wrong way",
    ],
    ["else put(from.node, from.row, slot)", "", "owed rows are not carried"],
    [
      "for (const node of chain.reverse())",
      "for (const node of chain)",
      "descendants before ancestors",
    ],
    ["rowAt(node, p - node.at) >= 0", "true", "what lies between two runs is written"],
    [
      "if (fresh.length > numFree) {",
      "if (fresh.length > numFree + 1) {",
      "one block more than are free is planned",
    ],
    ["Math.max(to, first + used)); p++", "to); p++", "slots after the last row are not carried"],
    [
      "generation: ledger.generation[id] ?? 0",
      "generation: 0",
      "a new reference has the first generation",
    ],
    [
      "touched.push({ id: ref.id, from: used, index })",
      "touched.push({ id: ref.id, from: used, index: index + 1 })",
      "touched blocks are counted from the next one",
    ],
    ["p % blockSize }", "p % (blockSize - 1) }", "offset at a block's end"],
  ]),
  ...inside("lib/cache/Realize.ts", [
    ["layer * given.shape[1]!, placed", "0, placed", "every layer gets the rows of the first"],
    ["placed, also)", "placed, empty)", "carried slots are not copied with rows"],
    [
      "      if (copies.length === 0) continue\n",
      "      continue\n",
      "copies without rows are not made",
    ],
    [
      "halves.map((kind) => [[kind], rows[kind]] as const)",
      "halves.map((kind) => [[kind], rows.keys] as const)",
      "values are keys",
    ],
    ["for (const kind of kinds) carried.delete(kind)", "", "slots are carried once a launch"],
  ]),
  ...inside("lib/cache/Realize.ts", [
    [
      "params.headStride / kinds.length",
      "params.headStride",
      "heads of keys and values that interleave",
    ],
    ['[[["keys"], rows.latent]]', "[]", "latent rows are not written"],
    ['=== "latent" ? (["keys"] as const)', '=== "latent" ? []', "latent slots are not carried"],
  ], [
    "property-tests/views/page_utilities.test.ts",
    "property-tests/views/batching.steps.test.ts",
  ]),
  ...inside("lib/cache/Step.ts", [
    ["if (needed > most) return", "if (needed > most + 1) return", "a step beyond the capacity"],
    ["value <= count) continue", "value <= count + 1) continue", "a step keeps more than it wrote"],
    ["Math.max(1, queryStarts[i + 1]!) - 1", "queryStarts[i]!", "the last new token is the first"],
    ["  written.add(layer)\n", "  written.add(0)\n", "layers written are not counted"],
    ['["values"], values, 0, slotMapping', '["values"], keys, 0, slotMapping', "values are keys"],
    [
      "starts: caches[i]!.starts,",
      "starts: caches[i]!.starts.map(() => 0),",
      "a step sees what was dropped",
    ],
    [
      "        kept[i] === 0\n          ? cache\n          : view(",
      "        view(",
      "a row that kept nothing is not the value it was",
    ],
    [
      "cache.length + kept[i]!, cache.starts",
      "cache.length + counts[i]!, cache.starts",
      "the next cache is as long as was claimed",
    ],
    ["[node, kept[i]!]", "[node, counts[i]!]", "all that was claimed is kept"],
    ['      yield* realizeIn(flight, "step")\n', "", "a step does not place what it grows from"],
    ["({ layers }) => layers.includes(layer)", "() => true", "every layer is of the first group"],
    [" ?? unwritten(begun.step)", "", "a step may leave out a layer"],
  ]),
  ...inside("lib/cache/stale.ts", [
    [
      "if (now !== generation) return",
      "if (now > generation + 1) return",
      "stale after two generations",
    ],
    [
      "    if (at.node.lost) return new StaleCache({ group: 0, block: -1, generation: 0, now: 0 })\n",
      "",
      "a lost step is grown from",
    ],
    ["  if (isHeld(at)) return\n", "  return\n", "generations are not compared"],
  ]),
  ...inside("lib/cache/value.ts", [
    ["? from + i : from[i]!", "? i : from[i]!", "rows are counted from the first"],
    [
      "Math.max(node.base!.length, node.at + kept)",
      "node.at + kept",
      "a write in the middle cuts what is behind it",
    ],
    [
      "while (value.node.tables === undefined) value",
      "if (value.node.tables === undefined) value",
      "the nearest placed value is the base",
    ],
    [
      "Math.floor(starts[group]! / blockSize); i <",
      "Math.ceil(starts[group]! / blockSize); i <",
      "a block half dropped is let go",
    ],
    [
      "i < Math.ceil(length / blockSize)",
      "i < Math.floor(length / blockSize)",
      "the tail block is let go",
    ],
    [
      "node.rows !== undefined) yield*",
      "node.rows === null) yield*",
      "owed rows are not kept for the run",
    ],
  ], ["property-tests/device/program.test.ts"]),
  ...inside("lib/cache/write.ts", [
    ["value <= end\n", "value <= end + 1\n", "a write may leave a hole"],
    [
      "if (length > capacity(self.arena)) {",
      "if (length > capacity(self.arena) + 1) {",
      "one token more than the capacity",
    ],
    [
      "window === undefined ? Math.min",
      "true ? Math.min",
      "groups with a window bound the capacity",
    ],
    [
      "if (length <= node.at) return cut(base, length, starts)\n",
      "",
      "a cut below an owed write keeps its node",
    ],
    ["Math.min(node.count, length - node.at)", "node.count", "a cut value owes all its rows"],
    [
      "cut(base, Math.min(length, base.length), starts)",
      "base",
      "a cut write over a longer base sees its end",
    ],
    ["Math.max(start, position)", "position", "what was dropped comes back"],
    [
      "from[run.at - first.at + i] = run.from + i",
      "from[run.at - first.at + i] = run.from",
      "every row of a run is its first",
    ],
    [
      "if (actual !== dtype) return",
      'if (actual === "u32") return',
      "rows of another dtype are taken",
    ],
    [
      "const bad = Shape.sizesError(tensor, shape, needs[half])",
      'const bad = half === "values" ? undefined : Shape.sizesError(tensor, shape, needs[half])',
      "values of any shape are taken",
    ],
    [
      "keys: { layers, tokens, keyHeads, keyDim },",
      "keys: { layers, tokens, keyHeads },",
      "keys without a last axis are taken",
    ],
  ]),
]
