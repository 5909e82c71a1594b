/** Mistakes in how recordings are run: transactions, memory, captures and transfers. @module */
import { inside, type Mutant } from "./mutant.ts"

const mutants: ReadonlyArray<Mutant> = [
  ...inside("lib/device/Program.ts", [
    ["if (gone !== undefined) return yield* gone", "", "stale tensors are sent"],
    [
      '      Effect.onError(() => release("its run did not succeed")),\n',
      "",
      "a submit that fails keeps its memory",
    ],
    [
      "Effect.sync(() => scratch.forEach(gpu.destroy))",
      "Effect.void",
      "scratch memory is never freed",
    ],
    [
      'if (kept.length > 0) yield* Effect.addFinalizer(() => release("its scope is closed"))',
      "",
      "what a run gives back outlives its scope",
    ],
    ["    rec.ended = true // also where", "    // also where", "a run whose body failed goes on"],
    [
      "const landed = succeeded && refusal === undefined",
      "const landed = succeeded",
      "what was refused lands",
    ],
    ["landed ? endings : endings.toReversed()", "endings", "undone oldest first"],
    [
      "for (const ending of endings) ending.close(landed)",
      "for (const ending of endings.slice(1)) ending.close(landed)",
      "the first ending never closes",
    ],
    [
      "const lost = Exit.isSuccess(ended) ? rec.lost : undefined",
      "const lost = undefined as typeof rec.lost",
      "a run lands though a submit inside it failed",
    ],
    [
      "Effect.andThen(send(rec, value), sent(rec))",
      "send(rec, value)",
      "a run lands before all of its submits have ended",
    ],
    [
      "Effect.flatMap(end(rec, Exit.isSuccess(exit)), () => exit)",
      "exit",
      "a transaction never ends",
    ],
    ["Effect.exit(restore(work))", "Effect.exit(work)", "a run cannot be interrupted"],
    [
      '      Effect.onInterrupt(() => loses(new StaleTensor({ name: "the recording", why }))),\n',
      "",
      "a run lands though a submit inside it was interrupted",
    ],
    ["rec.work.splice(0)", "rec.work.slice(0)", "work is sent again with the next submit"],
  ]),
  ...inside("lib/device/capture.ts", [
    [
      "[Object.values(given), out, constants(work)]",
      "[Object.values(given), out]",
      "constants share memory with others",
    ],
    [
      "[Object.values(given), out, constants(work)]",
      "[Object.values(given), constants(work)]",
      "what a program gives back is scratch",
    ],
    ["        scratch.forEach(gpu.destroy)\n", "", "scratch of a program is never freed"],
    [
      "if (gone !== undefined) return yield* gone",
      "",
      "stale tensors are captured",
    ],
    [
      'item._tag === "Replay" && item.prepared === prepared',
      "false",
      "two replays of a program in one submit",
    ],
    [
      "if (expected !== value.length) {",
      "if (expected < value.length) {",
      "inputs that are too short",
    ],
    [
      'for (const slot of handed.slots) slot.stale = "a later replay wrote over it"',
      "",
      "what an earlier replay gave is read after a later one",
    ],
    ["handed.slots = [...slots.values()]", "handed.slots = []", "nobody knows what was handed out"],
    ["const slot = slots.get(own) ?? { ...own }", "const slot = own", "replays hand out one slot"],
    ["uploads.push([slot.buffer!, value])", "slot.buffer", "inputs are not written"],
  ]),
  ...inside("lib/device/memory.ts", [
    ["b.bytes >= slot.bytes", "b.bytes >= 0", "memory that is too small is used again"],
    [
      "slot.data === undefined ? idle.findIndex",
      "true ? idle.findIndex",
      "host data lies where earlier launches write",
    ],
    [
      "if (slot.buffer === undefined) last.set(slot, i)",
      "if (slot.buffer === undefined && !last.has(slot)) last.set(slot, i)",
      "memory is given away after its first use",
    ],
    ["      slot.stale = unreturned\n", "", "scratch is read after its run"],
    ["    for (const buffer of scratch) gpu.destroy(buffer)\n", "", "a failure keeps scratch"],
    [
      "      gpu.destroy(slot.buffer!)\n      slot.buffer = undefined\n",
      "",
      "a failure keeps memory",
    ],
    ["idle.push(slot.buffer!)", "idle.length", "memory is never used again"],
    [
      "if (slot.data !== undefined) gpu.write(made.success, slot.data)",
      "",
      "host data is not written",
    ],
    [
      "for (const kept of (value as Keeper)[Keep]()) f(kept.slot)",
      "for (const kept of (value as Keeper)[Keep]()) kept.slot",
      "rows that caches owe are scratch",
    ],
    ["seen.has(value)) return", "false) return", "a value that holds itself is walked for ever"],
    ["if (why !== undefined) return new Stale", "if (false) return new Stale", "nothing is stale"],
  ]),
  ...inside("lib/device/transfer.ts", [
    [
      "(buffer) => Effect.sync(() => gpu.destroy(buffer))",
      "() => Effect.void",
      "a scope frees nothing",
    ],
    ['slot.stale = "its scope is closed"', "slot.stale", "a tensor is read after its scope"],
    [
      "if (expected !== data.length) {",
      "if (expected < data.length) {",
      "arrays that are too short",
    ],
    ["    gpu.write(made.slot.buffer!, data)\n", "", "nothing is uploaded"],
    [
      "if (buffer === undefined || stale !== undefined) {",
      "if (buffer === undefined) {",
      "stale tensors are read",
    ],
    [
      "data(name, Shape.size(shape))",
      "data(name, Shape.size(shape) + 1)",
      "an element too many of each weight",
    ],
  ]),
]

export default mutants
