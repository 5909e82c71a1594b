/** Mistakes in how a cache is written as bytes, and how it comes back. @module */
import { inside, type Mutant } from "./mutant.ts"

/** Those of lib/cache/snapshot. */
export const snapshots: ReadonlyArray<Mutant> = [
  ...inside("lib/cache/snapshot/container.ts", [
    [
      'if (sha256(bytes) !== hash) return bad("a block is damaged: the checksum differs")',
      "",
      "checksums of blocks are not compared",
    ],
    [
      "const block = data.slice(at, at + bytes)",
      "const block = data.slice(at)",
      "a block has no end",
    ],
    [
      "        blocks[group]!.push(block)\n        at += bytes\n",
      "        blocks[group]!.push(block)\n",
      "every block is the first",
    ],
    ["if (at < data.length) {", "if (at > data.length) {", "bytes may follow the last block"],
    ["let at = head.length\n", "let at = head.length - 1\n", "blocks begin within the header"],
    [
      "Effect.succeed(blocks[group]![i]!)",
      "Effect.succeed(blocks[0]![i]!)",
      "blocks of groups swapped",
    ],
  ]),
  ...inside("lib/cache/snapshot/hash.ts", [
    ['createHash("sha256")', 'createHash("sha1")', "a name of 40 digits"],
    ["hash.update(part)", "hash.update(part.subarray(0, 1))", "only the first byte is named"],
    [
      "hash.update(part)",
      "hash.update(Uint8Array.of(part.length))",
      "blocks of a length share a name",
    ],
  ]),
  ...inside("lib/cache/snapshot/header.ts", [
    [
      "Math.min(length, (Math.floor(from / blockTokens) + 1) * blockTokens)",
      "Math.min(length, from + blockTokens)",
      "borders of blocks are counted from the first visible position",
    ],
    ["from < length;) {", "from <= length - blockTokens;) {", "the last block is left out"],
    ["let from = starts[group]!;", "let from = starts[0]!;", "starts of groups swapped"],
    ["parseInt(hash.slice(2 * i, 2 * i + 2), 16)", "parseInt(hash[2 * i]!, 16)", "half a checksum"],
    [
      "if (hash.some((byte, i) => byte !== data[end + i])) {",
      "if (hash.every((byte, i) => byte !== data[end + i])) {",
      "a checksum with one right byte is right",
    ],
    ["if (found !== version) {", "if (found > version) {", "an older version is read"],
    [
      "if (end + hashBytes > data.length) {",
      "if (end > data.length) {",
      "a checksum may be cut off",
    ],
    [
      "if (length > most) return",
      "if (length > 2 ** 53) return",
      "more tokens than any model reads",
    ],
    ["if (counts !== named) return", "if (false) return", "blocks may be missing"],
    [
      "tokens.length !== 0 && tokens.length !== length",
      "tokens.length > length",
      "some tokens are named",
    ],
    [
      "starts.some((start) => start > length)",
      "false",
      "a group begins behind the end",
    ],
    ["end: end + hashBytes }", "end }", "the checksum is the first block"],
  ]),
  ...inside("lib/cache/snapshot/place.ts", [
    [
      "if (index < Math.floor(start / blockSize)) {",
      "if (index < Math.ceil(start / blockSize)) {",
      "a block half dropped is the dummy's",
    ],
    [
      "if (index < Math.floor(start / blockSize)) {",
      "if (index < 0) {",
      "what was dropped takes blocks",
    ],
    [
      "generation: ledger.generation[id] ?? 0 }",
      "generation: 0 }",
      "a new reference has the first generation",
    ],
    [
      "Math.max(from, Math.min(blockSize, to - index * blockSize))",
      "Math.max(from, Math.min(blockSize, to - index * blockSize) - 1)",
      "fill mark off by one",
    ],
    [
      "(from + i) % layout.blockSize], 2 * i)",
      "i % layout.blockSize], 2 * i)",
      "rows lie from the first slot of a block on",
    ],
    ["given, i * tokens, entries", "given, 0, entries", "every layer gets the rows of the first"],
    [
      "if (fresh.length <= free) continue",
      "if (fresh.length <= free + 1) continue",
      "one block more than are free is planned",
    ],
    [
      "tables[block.group]!, block)",
      "tables[0]!, block)",
      "tables of groups swapped",
    ],
    [
      '      realizeIn(flight, "take a snapshot"),\n',
      "      Effect.void,\n",
      "an owed cache is not placed",
    ],
    [
      "starts.map((start) => Math.min(start, to))",
      "starts.map(() => 0)",
      "what was dropped is seen",
    ],
  ]),
  ...inside("lib/cache/snapshot/rows.ts", [
    [
      'placement === "latent" ? ["keys"] : ["keys", "values"]',
      '["keys", "values"]',
      "latent values are stored as well",
    ],
    ["    at += bytes\n  }\n  return out", "  }\n  return out", "values over keys"],
    [
      "row * dim, dim, pool, row * size)",
      "row * dim, dim, pool, row * dim)",
      "rows of int8 overlap",
    ],
    [
      "widen[dtype](pool, row * size, dim, to, row * dim)",
      "widen[dtype](pool, row * size, dim, to, 0)",
      "every row is read as the first",
    ],
    [
      "new Uint8Array(from.buffer, from.byteOffset, bytes)",
      "new Uint8Array(from.buffer, from.byteOffset, bytes - 1)",
      "the last byte of f32 rows is lost",
    ],
    [
      'values < data.length ? half("values", values)',
      'values < data.length ? half("values", 0)',
      "values are keys",
    ],
  ]),
  ...inside("lib/cache/snapshot/shape.ts", [
    [
      'window === undefined ? "" : ` (window ${window})`',
      'window !== undefined ? "" : ""',
      "windows need not agree",
    ],
    [
      "if (actual !== expected) return",
      "if (actual < expected) return",
      "a larger layout is taken",
    ],
    ['latent ? "latent" : "perLayer"', '"perLayer"', "latent rows count twice"],
    [
      "valueDim, placement } = layout",
      "keyDim: valueDim, placement } = layout",
      "values as wide as keys",
    ],
  ]),
]
