/**
 * Every call of the device that a program makes, failing once: on the CPU in each of its ways, on a GPU in the ways in
 * turn, as a call there has up to fifteen; and every step of a fiber on the CPU, interrupted once.
 *
 * @module
 */
import { type Kind, kinds } from "../faults/rigs.ts"
import { type Case, cases } from "../faults/programs.ts"
import { heavy, snapshots } from "../faults/programs.model.ts"
import { type Mode, plain, tried, troublesOf } from "../faults/tries.ts"
import type { Trouble } from "../faults/play.ts"
import type { Trial } from "./trial.ts"

const chosen = async (kind: Kind, one: Case, mode: Mode): Promise<ReadonlyArray<Trouble>> => {
  const played = await plain(kind, one)
  return mode === "fault" && kind.born !== undefined
    ? played.calls.map((_, at) => ({ plan: { at, way: at } }))
    : troublesOf(kind, played, mode)
}

/** Of these cases. A part is every `each`-th trouble of one of them. */
const trial = (
  name: string,
  kind: Kind,
  mode: Mode,
  cases: ReadonlyArray<Case>,
  each: number,
): Trial => ({
  name,
  adapter: kind.name,
  share: 1,
  parts: cases.length * each,
  batch: async (part) => {
    const one = cases[Math.floor(part / each)]!
    const troubles = (await chosen(kind, one, mode)).filter((_, i) => i % each === part % each)
    let states = 0
    for (const trouble of troubles) states += (await tried(kind, one, trouble)).calls.length
    return { executions: troubles.length, states }
  },
})

const every = (name: string, kinds: ReadonlyArray<Kind>, mode: Mode): ReadonlyArray<Trial> => [
  ...kinds.map((kind) => trial(name, kind, mode, [...cases, ...snapshots], 16)),
  // One each, as a GPU takes many minutes for each.
  ...heavy.flatMap((one) =>
    kinds.map((kind) => trial(`${name} of ${one.name}`, kind, mode, [one], 128))
  ),
]

/** Every index of a call, and every step. Not drawn: they end when all was tried. */
export const indices: ReadonlyArray<Trial> = [
  ...every("every fault index", kinds, "fault"),
  ...every("every interrupted step", kinds.filter(({ born }) => born === undefined), "step"),
]
