/** Mistakes in lib/snapshot: what lies in files, and what comes back. `Snapshot.ts` only exports what others make. @module */
import { inside, type Mutant } from "./mutant.ts"
import { stops } from "./snapshot_stops.ts"

const mutants: ReadonlyArray<Mutant> = [
  ...inside("lib/snapshot/files.ts", [
    ["Math.min(size, most)", "Math.min(size, most - 1)", "the last byte asked for is not read"],
    ["reasons[code] ?? message", "message", "a reason in the words of the system"],
    [
      'code !== "ENOENT") throw cause',
      'code === "ENOENT") throw cause',
      "a file that is missing fails",
    ],
    ["{ force: true }", "{ force: false }", "what is gone cannot be removed"],
    ["rename(from, to)", "rename(to, from)", "a rename goes the wrong way"],
  ]),
  ...inside("lib/snapshot/folder.ts", [
    ["[\\w.-]{0,199}$/", "[\\w./-]{0,199}$/", "a name leads to another folder"],
    [
      "    Effect.andThen(files.sync(file + partial)),\n",
      "",
      "a file is renamed before its bytes are on the disk",
    ],
    [
      "    yield* unsaved(files.sync(blocks)) // all that the header names is there before the header is\n",
      "",
      "a header may be there before its blocks",
    ],
    [
      "if (found !== undefined && equal(found, block)) return",
      "if (found !== undefined) return",
      "a damaged block stays",
    ],
    [
      "if (found !== undefined && equal(found, block)) return",
      "",
      "blocks that are there are written again",
    ],
    [
      "files.write(file + partial, bytes)",
      "files.write(file, bytes)",
      "a file is written in place",
    ],
    ["block.length + 1)", "block.length)", "a block with a byte too many is right"],
    ["if (end < data.length) {", "if (end > data.length) {", "bytes may follow a header"],
    ["(hash) => !wanted.has(hash)", "(hash) => wanted.has(hash)", "what is wanted is taken away"],
    ["(hash) => !wanted.has(hash)", "() => false", "what nobody wants stays"],
    ["name.endsWith(partial))", "name.endsWith(ending))", "snapshots are taken away"],
  ]),
  ...inside("lib/snapshot/restore.ts", [
    ["model !== undefined && model !== header.model", "false", "another model's rows are taken"],
    [
      "if (header.length > capacity) return",
      "if (header.length > capacity + 1) return",
      "one token more than the capacity",
    ],
    [".sort(([a], [b]) => a - b)", "", "columns in the order of the first group"],
    ["({ block }) => block.to)", "({ block }) => block.from)", "columns by their beginnings"],
    [
      "if (cache.length < length) cache = yield* extend(length, [])",
      "",
      "a cache that sees nothing is empty",
    ],
    [
      "    yield* Program.run(KvCache.realize([cache]))\n    return { cache, tokens, note }",
      "    return { cache, tokens, note }",
      "nobody holds what was restored",
    ],
    ["if (other !== undefined) return other\n", "", "another layout is taken"],
  ]),
  ...inside("lib/snapshot/take.ts", [
    ["blockTokens < 1 ||", "blockTokens < 0 ||", "blocks of no tokens"],
    ["tokens.length !== length && about", "tokens.length > length && about", "some of the tokens"],
    ["Number.isSafeInteger(id) || id < 0)", "Number.isSafeInteger(id))", "a negative token id"],
    [
      "blocks.slice(at, at += length)",
      "blocks.slice(0, at += length)",
      "every group has the blocks of the first",
    ],
    [
      "const hash = sha256(bytes)",
      "const hash = sha256(bytes.subarray(1))",
      "a name of other bytes",
    ],
  ]),
  ...stops,
]

export default mutants
