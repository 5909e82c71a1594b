/**
 * Every call of the device that a program makes, failing once: on the CPU in each of its ways, on a GPU in the ways in
 * turn, as a call there has up to fifteen; and every step of a fiber on the CPU, interrupted once.
 *
 * @module
 */
import { type Kind, kinds } from "../faults/rigs.ts"
import { type Case, cases } from "../faults/programs.ts"
import { snapshots } from "../faults/programs.model.ts"
import { type Mode, plain, tried, troublesOf } from "../faults/tries.ts"
import type { Trouble } from "../faults/play.ts"
import type { Trial } from "./trial.ts"

const all: ReadonlyArray<Case> = [...cases, ...snapshots]

/** Parts of each case: every sixteenth of its troubles. */
const each = 16

const chosen = async (kind: Kind, one: Case, mode: Mode): Promise<ReadonlyArray<Trouble>> => {
  const played = await plain(kind, one)
  return mode === "fault" && kind.born !== undefined
    ? played.calls.map((_, at) => ({ plan: { at, way: at } }))
    : troublesOf(kind, played, mode)
}

const trial = (name: string, kind: Kind, mode: Mode): Trial => ({
  name,
  adapter: kind.name,
  share: 1,
  parts: all.length * each,
  batch: async (part) => {
    const one = all[Math.floor(part / each)]!
    const troubles = (await chosen(kind, one, mode)).filter((_, i) => i % each === part % each)
    let states = 0
    for (const trouble of troubles) states += (await tried(kind, one, trouble)).calls.length
    return { executions: troubles.length, states }
  },
})

/** Every index of a call, and every step. Not drawn: they end when all was tried. */
export const indices: ReadonlyArray<Trial> = [
  ...kinds.map((kind) => trial("every fault index", kind, "fault")),
  ...kinds.filter(({ born }) => born === undefined).map((kind) =>
    trial("every interrupted step", kind, "step")
  ),
]
