/** Mistakes in snapshots: how they are written down, placed, and kept whole whenever something stops. @module */
import { inside, type Mutant } from "./mutant.ts"

const tests = (...names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.map((name) => `property-tests/snapshot/${name}.test.ts`)

/** Those of saves and restores that stop. */
export const stops: ReadonlyArray<Mutant> = [
  ...inside("lib/snapshot/folder.ts", [
    [
      "    Effect.onError(() => Effect.ignore(files.remove(file + partial))),\n",
      "",
      "an interrupted save leaves its partial file",
    ],
    [
      "    yield* unsaved(files.sync(blocks)) // all",
      "    // all",
      "a header may be there before the blocks that it names",
    ],
    [
      "    yield* unsaved(files.sync(folder))\n    bytes",
      "    bytes",
      "a save that succeeded may be lost",
    ],
    [
      "    yield* unsaved(files.sync(folder))\n    for",
      "    for",
      "prune takes blocks of a header that may come back",
    ],
    [
      "      yield* unsaved(files.remove(path))\n    }\n    let",
      "      void path\n    }\n    let",
      "a save leaves what a killed one left",
    ],
    ["found !== undefined && equal(found, block)", "found !== undefined", "a damaged block stays"],
    ["!wanted.has(hash)", "wanted.has(hash)", "prune takes what is wanted"],
  ], tests("stopped", "folder", "killed")),
  ...inside("lib/snapshot/files.ts", [
    [
      "  Effect.uninterruptible(Effect.tryPromise({",
      "  Effect.interruptible(Effect.tryPromise({",
      "an interrupted operation goes on by itself",
    ],
    ["    await handle.close()\n", "", "files stay open"],
    [
      'if ((cause as { code?: string }).code !== "ENOENT") throw cause',
      "void cause",
      "a file that cannot be read counts as none",
    ],
  ], tests("interrupted", "stopped", "killed")),
  ...inside("lib/snapshot/restore.ts", [
    ["sort(([a], [b]) => a - b)", "sort(([a], [b]) => b - a)", "blocks are placed from the end"],
    [
      "Lease.under(yield* Lease.make(arena))",
      "(<A, E, R>(effect: Effect.Effect<A, E, R>) => effect)",
      "what is half restored stays with the lease",
    ],
    [
      "if (model !== undefined && model !== header.model)",
      "if (false)",
      "any model's rows are taken",
    ],
    ["if (header.length > capacity)", "if (false)", "a snapshot longer than the arena is begun"],
  ], tests("stopped", "round", "damage")),
  ...inside("lib/snapshot/take.ts", [
    [
      "if (tokens.length !== length && about.tokens !== undefined)",
      "if (false)",
      "any number of ids is taken",
    ],
    [
      "Effect.scoped(Effect.gen(function* () {\n    const { keys, values }",
      "(Effect.gen(function* () {\n    const { keys, values }",
      "rows stay on the device",
    ],
    [
      "blocks.slice(at, at += length)",
      "blocks.slice(at, length)",
      "blocks of a second group are those of the first",
    ],
  ], tests("stopped", "round", "damage", "folder")),
  ...inside("lib/cache/snapshot/place.ts", [
    [
      "Math.max(from, Math.min(blockSize, to - index * blockSize))",
      "blockSize",
      "a mark above what was written",
    ],
    [
      "index < Math.floor(start / blockSize)",
      "index <= Math.floor(start / blockSize)",
      "the first block that is seen is the dummy's",
    ],
    [
      "if (fresh.length <= free) continue",
      "if (true) continue",
      "blocks that are not there are taken",
    ],
  ], tests("stopped", "round", "devices")),
  ...inside("lib/cache/snapshot/container.ts", [
    ["if (sha256(bytes) !== hash)", "if (false)", "a damaged block is taken"],
    ["if (bytes.length !== expected)", "if (false)", "a block of another length is taken"],
    ["if (at < data.length)", "if (false)", "bytes may follow"],
  ], tests("damage", "folder")),
  ...inside("lib/cache/snapshot/header.ts", [
    [
      "(Math.floor(from / blockTokens) + 1) * blockTokens",
      "from + blockTokens",
      "blocks begin where a window does",
    ],
    ["if (counts !== named)", "if (false)", "a header may name other blocks than it has"],
    ["if (found !== version)", "if (false)", "any version is read"],
    ["hash.some((byte, i) => byte !== data[end + i])", "false", "a damaged header is read"],
    ["if (length > most)", "if (false)", "any length is believed"],
  ], tests("damage", "folder", "round")),
  ...inside("lib/cache/snapshot/rows.ts", [
    ["values < data.length ?", "true ?", "keys that hold their values have others too"],
    ["    at += bytes\n", "", "values lie over keys"],
    [
      "widen[dtype](pool, row * size, dim, to, row * dim)",
      "widen[dtype](pool, row * dim, dim, to, row * dim)",
      "rows are as long as their elements",
    ],
  ], tests("round", "devices")),
  ...inside("lib/cache/snapshot/shape.ts", [
    ["if (actual !== expected)", "if (actual < expected)", "some foreign layouts are taken"],
    ['(window === undefined ? "" : ` (window ${window})`)', '""', "windows may differ"],
    [
      'const placement = latent ? "latent" : "perLayer"',
      'const placement = "perLayer"',
      "blocks of latent keys have values",
    ],
  ], tests("damage", "round")),
  ...inside("lib/device/Program.ts", [
    [
      "  Effect.uninterruptibleMask((restore) =>\n    Effect.gen",
      "  Effect.suspend((restore = <A>(effect: A): A => effect) =>\n    Effect.gen",
      "memory is lost where a run is interrupted",
    ],
  ], tests("stopped")),
]
