/**
 * Mistakes in lib/cache. `KvCache.ts` and `Snapshot.ts` only export what others make, and so have none. The rules of an
 * immutable cache over mutable blocks, turned off one by one, are in `semantics.ts`.
 *
 * @module
 */
import { inside, type Mutant } from "./mutant.ts"
import { paging } from "./cache_pages.ts"
import { snapshots } from "./cache_snapshots.ts"
import { writing } from "./cache_writes.ts"

const mutants: ReadonlyArray<Mutant> = [
  ...inside("lib/cache/Ledger.ts", [
    ["  ledger.generation[id]!++\n", "", "generation of a freed block not bumped"],
    ["ledger.fill[id] = 0", "ledger.fill[id] = 1", "a freed block keeps a mark"],
    ["> 0) return", "> 1) return", "reference −1: a block is freed while an owner is left"],
    [
      "  ledger.references[id]!++\n",
      "  ledger.references[id]! += 2\n",
      "reference +1: retain counts twice",
    ],
    ["held.delete(id)) return", "held.has(id)) return", "an owner goes on holding what it let go"],
    ["  held.add(id)\n", "", "an owner does not know what it holds"],
    ["ledger.numFree - 1 - k]", "k]", "peek looks at the wrong end of the free list"],
    ["k < ledger.numFree", "k + 1 < ledger.numFree", "the last free block is never taken"],
  ]),
  ...inside("lib/cache/Owner.ts", [
    ["  owner.open = false\n", "", "a closed owner counts as open"],
    ["  owner.arena.owners.delete(owner)\n", "", "a closed owner still pins"],
    ["ids.toReversed()", "ids.toReversed().slice(1)", "the last block is not let go"],
    ["  arena.owners.add(owner)\n", "", "an open owner pins nothing"],
  ]),
  ...inside("lib/cache/Claim.ts", [
    ["    ledger.numFree -= ids.length\n", "", "claimed blocks stay free"],
    ["ledger.fill[id] = mark", "ledger.fill[id] = mark + 1", "fill mark one too high"],
    ["&& held.epoch", "|| held.epoch", "the memo of a closed lease holds"],
    ["(owner === undefined || held.owner === owner)", "true", "a memo of another owner serves"],
    [
      "fill[t.id] = mark(endOf(node, kept), t)",
      "fill[t.id] = mark(endOf(node, kept) + 1, t)",
      "marks are lowered one too little",
    ],
    [
      "Math.min(blockSize, end - index * blockSize)",
      "end - index * blockSize",
      "a mark beyond its block",
    ],
    ["    node.pending = undefined\n", "", "a settled node stays pending"],
    [
      "if (index * blockSize >= end) continue",
      "if (index * blockSize < end) continue",
      "the lease holds the blocks past the end instead",
    ],
    ["kept.get(node) ?? node.count", "node.count", "all rows of a step are kept"],
    [
      "Math.ceil(endOf(node, rows) / blockSize)",
      "Math.floor(endOf(node, rows) / blockSize)",
      "the last block is not in the table",
    ],
    ["node.lost = node.rows === undefined", "node.lost = false", "a step that failed is not lost"],
    [
      "  Deferred.doneUnsafe(ended.done, Exit.void)\n",
      "",
      "those who wait for a claim wait for ever",
    ],
  ]),
  ...inside("lib/cache/Flight.ts", [
    ["          Owner.close(owner)\n", "", "a flight never closes"],
    [
      "const late = endedError(flight.transaction)",
      "const late = undefined as InvalidArgument | undefined",
      "a run that is over takes blocks",
    ],
    [
      "const bad = endedError(transaction) ?? Lease.refused(lease, new Set(values), doing)",
      "const bad = endedError(transaction)",
      "no check at entry",
    ],
    [
      "        const bad = Lease.refused(flight.lease, flight.closure, doing)\n        if (bad !== undefined) return Effect.fail(bad)\n",
      "",
      "no second check after waiting",
    ],
    [
      "        settle: () => {},\n        close: (landed) => {",
      "        settle: () => Owner.close(owner),\n        close: (landed) => {",
      "a flight unpins before the lease holds",
    ],
    [
      "landed ? outcome() : undefined",
      "outcome()",
      "claim not undone: what fails counts as landed",
    ],
    [
      "  close: () => finish(taken),\n",
      "  close: () => {},\n",
      "a claim does not say that it ended",
    ],
    ["  return seen.has(transaction)\n", "  return false\n", "rings of waiting are not found"],
    [
      "    transaction.waitsFor.add(busy.transaction)\n",
      "",
      "nobody knows who waits for whom",
    ],
    [
      "filter(({ pending }) => pending === undefined)",
      "filter(() => true)",
      "what is being placed is placed again",
    ],
  ]),
  ...inside("lib/cache/Lease.ts", [
    [
      "  if (!lease.open) return new LeaseClosed({ doing })\n",
      "",
      "a closed lease works on",
    ],
    [
      "    const gone = stale(value)\n    if (gone !== undefined) return gone\n",
      "",
      "stale values are read",
    ],
    [
      "filter((id) => !reached[group]!.has(id))",
      "filter(() => false)",
      "keep lets nothing go",
    ],
    ["if (value.arena !== lease.arena) {", "if (false) {", "values of another arena are taken"],
    [
      "for (const id of ids) Ledger.retain(arena.ledgers[group]!, lease.held[group]!, id)",
      "ids.size",
      "keep does not hold what it was not holding",
    ],
  ]),
  ...writing,
  ...paging,
  ...inside("lib/cache/grouped.ts", [
    [
      "if (known === undefined) found.set(key, [item])",
      "if (true) found.set(key, [item])",
      "the last of each key alone",
    ],
    ["else known.push(item)", "", "the first of each key alone"],
    [
      "const known = found.get(key)",
      "const known = [...found.values()][0]",
      "one group for all keys",
    ],
  ], ["property-tests/laws/pages.test.ts"]),
  ...snapshots,
]

export default mutants
