/** What a run held, in words and for `--json`. @module */
import type { GroupMemory, Memory } from "../model/Llama.ts"

const inWords = ({ layers, window, blocksLive, numBlocks }: GroupMemory): string => {
  const count = `${layers.length} ${layers.length === 1 ? "layer" : "layers"}`
  const sees = window === undefined
    ? `that ${layers.length === 1 ? "sees" : "see"} all`
    : `with a window of ${window}`
  return `${blocksLive} of ${numBlocks} blocks in ${count} ${sees}`
}

/** `cache: 14 of 40 blocks in 3 layers that see all, …`; undefined where all layers see alike. */
export const cacheLine = ({ groups }: Pick<Memory, "groups">): string | undefined =>
  groups.length > 1 ? `cache: ${groups.map(inWords).join(", ")}` : undefined

/** As JSON has it: a layer that sees all has the window `null`. */
export const toJson = ({ groups, ...memory }: Memory): object => ({
  ...memory,
  groups: groups.map(({ window = null, ...group }) => ({ ...group, window })),
})
