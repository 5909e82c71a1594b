/** Random faults and interruptions of random cases, on each device of this machine. @module */
import { kinds } from "../faults/rigs.ts"
import { cases } from "../faults/programs.ts"
import { heavy, snapshots } from "../faults/programs.model.ts"
import { type Mode, plain, tried, troublesOf } from "../faults/tries.ts"
import { picker } from "../snapshot/disk.ts"
import type { Trial } from "./trial.ts"

/** Light cases come up often, as those of the model take a hundred times as long. */
const drawn = [...cases, ...cases, ...snapshots, ...cases, ...snapshots]

const batchOf =
  (kind: typeof kinds[number], modes: ReadonlyArray<Mode>, plays: number) =>
  async (seed: number): ReturnType<Trial["batch"]> => {
    const pick = picker(seed)
    let states = 0
    for (let i = 0; i < plays; i++) {
      const list = i === 0 && pick(4) === 0 ? heavy : drawn
      const one = list[pick(list.length)]!
      const troubles = troublesOf(kind, await plain(kind, one), modes[pick(modes.length)]!)
      if (troubles.length === 0) continue
      const { calls } = await tried(kind, one, troubles[pick(troubles.length)]!).catch((cause) => {
        throw new Error(`seed ${seed}: ${(cause as Error).message}`, { cause })
      })
      states += calls.length
    }
    return { executions: plays, states }
  }

const trials = (name: string, modes: ReadonlyArray<Mode>): ReadonlyArray<Trial> =>
  kinds.map((kind) => ({
    name,
    adapter: kind.name,
    share: 1,
    batch: batchOf(kind, modes, kind.born === undefined ? 40 : 10),
  }))

/** One call of the device fails, in any of its ways, or never answers. */
export const faultPrograms: ReadonlyArray<Trial> = trials("fault programs", [
  "fault",
  "fault",
  "never",
])

/** The fiber is interrupted at a step of its own, or at a call of the device. */
export const interruptions: ReadonlyArray<Trial> = trials("interrupted programs", ["step", "call"])
