/** What all commands have in common. @module */
import fc from "fast-check"
import type { Player, Verb } from "./player.ts"

/** What is known before a command runs; values and rows are the player's own business. */
export interface Model {
  /** What the player can do. */
  readonly can: ReadonlySet<Verb>
}

/** One step of a program. Its text is the call that makes it. */
export type Command = fc.AsyncCommand<Model, Player>

/** A command that a player may lack. */
export const able = (verb: Verb) => ({ can }: Readonly<Model>): boolean => can.has(verb)

/** Plays a command, between what comes before each of them and what is checked after. */
export const played =
  (play: (player: Player) => Promise<void>) => async (_: Model, player: Player): Promise<void> => {
    player.before()
    await play(player)
    await player.check()
  }

/** A value or a lease, counted back from the newest. */
export const index: fc.Arbitrary<number> = fc.nat(5)
/** A lease, open or not: −1 is the oldest of all. */
export const lease: fc.Arbitrary<number> = fc.integer({ min: -1, max: 4 })
/** A few values. */
export const some: fc.Arbitrary<ReadonlyArray<number>> = fc.array(index, {
  minLength: 1,
  maxLength: 3,
})
