/**
 * The rules of an immutable cache over mutable blocks, turned off one by one. Each was forced by a smallest program
 * that breaks without it, and its number is that program's; `property-tests/laws/named.test.ts` has the programs.
 * Rule 20 is none: a contiguous cache needs a spare row, and its program says what happens without one.
 *
 * @module
 */
import { inside, type Mutant } from "./mutant.ts"

const placing: ReadonlyArray<Mutant> = [
  ...inside("lib/cache/Plan.ts", [
    [
      "const from = source(base, group, p)\n",
      `const found = source(base, group, p)
        const from = "slot" in found ? found : { slot: Table.at(seen, index)!.id * blockSize + p - first }
`,
      "rule 1: owed rows are copied from where the same launch writes them",
    ],
    [
      "if (writes(node, p)) return { node, row: rowAt(node, p - node.at) }",
      "",
      "rule 1: owed rows are copied, not written again",
    ],
    [
      "const from = source(base, group, p)\n",
      `const found = source(base, group, p)
        const from = "node" in found ? found : { slot: Table.at(seen, index)!.id * blockSize + p - first }
`,
      "rule 2: a copy is made of a copy of the same launch",
    ],
    ["|| mark !== used ||", "||", "rule 17: the fill mark does not decide"],
    [
      "|| mark !== used ||",
      "|| ledger.references[ref.id]! > 1 ||",
      "rule 17: a sole owner goes on in place, whatever the mark",
    ],
  ]),
  ...inside("lib/cache/write.ts", [
    [
      "return bad === undefined ? Result.succeed(cut(self, length, self.starts)) : Result.fail(bad)",
      `if (bad !== undefined) return Result.fail(bad)
  const { blockSize } = self.arena.layout
  self.node.tables?.forEach(({ tail }, group) => {
    const { fill } = self.arena.ledgers[group]!
    const id = tail.ids[Math.floor(length / blockSize)]
    if (id !== undefined) fill[id] = Math.min(fill[id]!, length % blockSize)
  })
  return Result.succeed(cut(self, length, self.starts))`,
      "rule 18: truncate lowers the mark",
    ],
    [
      "Math.max(...self.starts)",
      "Math.min(...self.starts)",
      "rule 19: truncate below what a group sees",
    ],
    [
      "value >= floor(self) &&",
      "value >= 0 &&",
      "rule 19: truncate and write below the first visible position",
    ],
  ]),
]

const settling: ReadonlyArray<Mutant> = [
  ...inside("lib/cache/Claim.ts", [
    [
      "if (rows < node.count) lower(place, rows, arena)",
      "if (false) lower(place, rows, arena)",
      "rule 3: a claim that fails is not undone: marks stay",
    ],
    [
      "if (rows < node.count) lower(place, rows, arena)",
      "if (kept !== undefined && rows < node.count) lower(place, rows, arena)",
      "rule 4: slots of a claim that was lost are not written again",
    ],
    [".reverse()) { // an older", ") { // an older", "rule 5: claims are undone oldest first"],
    [
      "node.pending = made",
      "node.pending ??= undefined",
      "rule 7: claimed nodes are not pending: no join",
    ],
    [
      "if (!ended.places.has(base.node)) hold(lease, base)",
      "",
      "rule 11: the lease holds only what it placed, not what that grew from",
    ],
    [
      "held.owner.open && held.epoch === held.owner.epoch",
      "held.owner.open",
      "rule 14: the memo has no epoch",
    ],
    [
      "  at.held = { owner, epoch: owner.epoch }\n",
      "",
      "rule 21: what a lease holds is looked up again for each child",
    ],
  ]),
  ...inside("lib/cache/Flight.ts", [
    [
      "  const taken = claim(flight.transaction, flight.owner, decided)\n",
      `  const { ledgers } = flight.lease.arena
  const before = ledgers.map(({ fill }) => fill.slice())
  flight.transaction.endings.push({
    refuses: () => undefined,
    settle: (landed) => landed || ledgers.forEach(({ fill }, i) => fill.set(before[i]!)),
    close: () => {},
  })
  const taken = claim(flight.transaction, flight.owner, decided)
`,
      "rule 6: undone by a snapshot of the ledger, not by claim",
    ],
  ]),
]

const owning: ReadonlyArray<Mutant> = [
  ...inside("lib/cache/Owner.ts", [
    ["  if (holds) pinAll(owner.arena)\n", "", "rule 8: flights are no owners when a lease closes"],
    [
      "ids.size > 0",
      "ids.size > 1",
      "rule 8: flights are no owners when a lease of one block closes",
    ],
  ]),
  ...inside("lib/cache/Flight.ts", [
    [
      "pending !== undefined && pending.transaction !== transaction",
      "pending === null",
      "rule 7: nobody joins a claim that is under way",
    ],
    [
      "Owner.open(lease.arena, closure)",
      "Owner.open(lease.arena)",
      "rule 8: a flight pins nothing",
    ],
    [
      "Owner.open(lease.arena, closure)",
      `Object.defineProperty(Owner.open(lease.arena), "pins", {
        get: () => owner.open && transaction.waitsFor.size === 0 ? closure : [],
        set: () => {},
      })`,
      "rule 9: what waits for another claim pins nothing yet",
    ],
    [
      "() => Effect.sync(() => succeeded = true)",
      "() => Effect.sync(() => [succeeded, owner.pins] = [true, []])",
      "rule 10: a flight pins until its effect is over, not until its run is",
    ],
    [
      "        ? [base]\n        : [base, view(base.arena, node, endOf(node), base.starts)]",
      "        ? []\n        : []",
      "rule 12: ancestors placed on the way are not held",
    ],
    [
      "          if (landed && succeeded) { for (const value of closure) hold(lease, value) }\n",
      "",
      "rule 13: reading makes no lease an owner",
    ],
    [
      "refuses: () => lease.open ? undefined",
      "refuses: () => true ? undefined",
      "rule 16: what reads under a closed lease lands",
    ],
  ]),
  ...inside("lib/cache/Lease.ts", [
    [
      "  Owner.pinAll(arena) // somebody is about to let go\n",
      "",
      "rule 8: flights are no owners when a lease keeps less",
    ],
    ["if (dropped.length > 0) lease.epoch++", "", "rule 14: keep moves no epoch"],
    [
      "new Set(values.map(placed))",
      "new Set(values.filter((v) => v.node.tables))",
      "rule 15: owed values keep nothing they grow from",
    ],
  ]),
]

const mutants: ReadonlyArray<Mutant> = [...placing, ...settling, ...owning]

export default mutants
