/** Mistakes in how a transformer cache is divided over devices, and in its bytes. @module */
import { inside, type Mutant } from "./mutant.ts"

/** Those of shards, partitions and plain data in lib/views/transformer. */
export const shards: ReadonlyArray<Mutant> = [
  ...inside("lib/views/transformer/attend_shards.ts", [
    [
      "keyHeads.from * group, keyHeads.to * group",
      "keyHeads.from, keyHeads.to",
      "queries of other heads",
    ],
    ["Math.max(start, held.from)", "start", "a shard sees what others hold"],
    ["end - tokens + t", "end - tokens", "queries of shards stand at one position"],
    [
      "positions !== undefined || parts.positions > 1",
      "positions !== undefined",
      "queries stand at the end of their shard",
    ],
    [
      "((b * positions + l) * heads + h) * valueDims + d",
      "((b * positions + l) * heads + d) * valueDims + h",
      "shards of heads and of elements swapped",
    ],
    [
      "return yield* mergeAll(outs, lses)",
      "return parts[0]!",
      "shards of positions are not merged",
    ],
    ["Lease.under(shard.lease)(prefill", "(prefill", "shards are read under the ambient lease"],
    ["segments: rows(segments) }", "segments }", "every shard has the segments of the first rows"],
  ]),
  ...inside("lib/views/transformer/partition.ts", [
    ["if (value % parts !== 0) {", "if (value < parts) {", "parts of two sizes"],
    ["{ ...table.rules, ...table.modes?.[mode] }", "table.rules", "modes say nothing"],
    ["      taken.set(name, axis)\n", "", "one mesh axis divides twice"],
    ["product * mesh[name]!, 1)", "product + mesh[name]!, 0)", "mesh axes are added"],
    ["size: value / parts }", "size: value }", "a part is the whole"],
  ]),
  ...inside("lib/views/transformer/pure.ts", [
    [
      "kept: rows.map(({ starts }) => starts[0]!),",
      "kept: rows.map(() => 0),",
      "what was let go is not said",
    ],
    ["to + kept * width", "to", "rows lie where they did not"],
    ["to += length * width", "to += 0", "rows lie over each other"],
    ["    from = end\n", "", "every row is the first"],
    ["one.key.length === live * keyBytes &&", "", "keys of any length"],
    ["if (arena.layout.dtype !== dtype) {", "if (false) {", "an arena of another dtype"],
    ["if (!storages.includes(dtype)) {", "if (false) {", "any dtype is one"],
    ["if (quantizer === undefined) {", "if (false) {", "any quantiser is one"],
    ["blockSize: first?.arena.layout.blockSize ?? 1", "blockSize: 1", "blocks of one token"],
    ["      starts: one.starts,\n", "", "padding is forgotten"],
  ]),
  ...inside("lib/views/transformer/pure_format.ts", [
    [
      "one === null || checksumOf(one.view) === one.checksum",
      "one !== undefined",
      "checksums are not compared",
    ],
    ["if (head.success.version !== version) {", "if (false) {", "another version is damaged"],
    [
      "Math.imul(hash ^ byte, 0x01000193)",
      "hash ^ byte",
      "bytes that change places have one checksum",
    ],
    [".sort(([a], [b]) => a < b ? -1 : 1)", "", "a checksum depends on the order of fields"],
    ["key: Schema.Uint8ArrayFromBase64", "key: Schema.Uint8ArrayFromHex", "keys are hexadecimal"],
  ]),
  ...inside("lib/views/transformer/shard.ts", [
    ["to: (i + 1) * size / parts,", "to: size,", "every part ends with the whole"],
    ["from: i * size / parts,", "from: 0,", "every part begins at 0"],
    ["const d = i % parts.valueDims\n", "const d = 0\n", "every shard has the first elements"],
    [
      "Math.floor(i / parts.valueDims) % parts.heads",
      "i % parts.heads",
      "heads by the number of their shard",
    ],
    [
      "keyHeads.from, keyHeads.to)",
      "0, keyHeads.to - keyHeads.from)",
      "every shard has the first heads of keys",
    ],
    ["numHeads / parts.heads,", "numHeads,", "every shard has all query heads"],
    ["parts.valueDims > 1\n", "false\n", "a part of an int8 row is quantised again"],
    [
      "self.starts.slice(batch.from, batch.to)",
      "self.starts",
      "rows of a shard have the first starts",
    ],
  ]),
  ...inside("lib/views/transformer/shard_cache.ts", [
    ["shard(one, partitioning, mode)", "shard(one, partitioning)", "modes say nothing"],
    ["forEach(layers, (one)", "forEach(layers.slice(1), (one)", "the first layer is forgotten"],
    ["    views,\n    (one)", "    views.toReversed(),\n    (one)", "layers the other way round"],
  ]),
  ...inside("lib/views/transformer/unshard.ts", [
    ['along === "dims"\n', "true\n", "keys are those of the first part"],
    [
      'heads: "valueHeads", dims: "valueDim"',
      'heads: "valueDim", dims: "valueDim"',
      "heads are joined as elements",
    ],
    ["from === 0 ? pieces :", "true ? pieces :", "what was let go leaves no hole"],
    ["smallest(held.map(({ starts }) => starts[0]!), Infinity)", "0", "what was let go comes back"],
    [
      "largest(held.map((cache) => cache.length), 0)",
      "held[0]!.length",
      "the first part is all",
    ],
    ["shards[0]!.batch.from + row] ?? empty", "row] ?? empty", "an empty row is another's"],
    [
      "slice(l * heads * valueDims, (l + 1) * heads * valueDims)",
      "slice(0, heads * valueDims)",
      "every position is in the first part",
    ],
  ]),
]
