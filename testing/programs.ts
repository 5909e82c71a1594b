/** Programs: drawn, played, printed as text that can be pasted into a test, and played again. @module */
import fc from "fast-check"
import type { Command } from "./command.ts"
import { appends } from "./commands/append.ts"
import { attends } from "./commands/attend.ts"
import { begins } from "./commands/begin.ts"
import { closes } from "./commands/close.ts"
import { drops } from "./commands/drop.ts"
import { fails } from "./commands/fail.ts"
import { forks } from "./commands/fork.ts"
import { interrupts } from "./commands/interrupt.ts"
import { keeps } from "./commands/keep.ts"
import { merges } from "./commands/merge.ts"
import { opens } from "./commands/open.ts"
import { runs } from "./commands/run.ts"
import { snapshots } from "./commands/snapshot.ts"
import { ticks } from "./commands/tick.ts"
import { truncates } from "./commands/truncate.ts"
import { writes } from "./commands/write.ts"
import { brokenBy, count, type LawBroken, type Tally, tally as newTally } from "./laws.ts"
import type { Stage } from "./player.ts"

/** One stands for a command as often as it is listed. */
const commands: ReadonlyArray<fc.Arbitrary<Command>> = [
  ...[appends, appends, writes, truncates, drops, forks],
  ...[runs, runs, begins, begins, ticks, ticks, ticks, interrupts, fails],
  ...[opens, keeps, closes, snapshots, attends, merges],
]

/** Programs of at most so many commands. */
export const programs = (maxCommands: number): fc.Arbitrary<Iterable<Command>> =>
  fc.commands([...commands], { maxCommands, size: "max" })

/** The text of a program: a call of `replay`, and nothing else is needed. */
export const print = <Config>(
  { name }: Stage<Config>,
  config: Config,
  program: Iterable<Command>,
): string => {
  const lines = [...program].map((command) => `  ${command},\n`).join("")
  return `await replay(${name}, ${JSON.stringify(config)}, [\n${lines}])`
}

/** Where a failing program was found. */
export interface Found {
  /** What `check` was given, or drew. */
  readonly seed: number
  /** Programs that were tried, this one included. */
  readonly programs: number
}

/** A program that broke a law. Its message says which, and ends with the program. */
export class ProgramFailed extends Error {
  /** `ProgramFailed`. */
  override readonly name = "ProgramFailed"
  /** The program, to be pasted into a test. */
  readonly program: string
  /** How `check` found it. */
  readonly found: Found | undefined
  /** What broke. */
  override readonly cause: LawBroken
  /** The text of a program, and why it failed. */
  constructor(program: string, cause: LawBroken, found?: Found) {
    const where = found === undefined
      ? ""
      : `\n\nProperty failed after ${found.programs} tests (seed ${found.seed})`
    super(`${cause.message}${where}\n\n${program}\n`, { cause })
    this.cause = cause
    this.program = program
    this.found = found
  }
}

/**
 * Plays a program on a new player. Rejects with `ProgramFailed`, whose cause is `LawBroken`, when a law breaks.
 *
 * - what it met is added to `tally`; laws that this does not ask for may break unnoticed
 */
export const replay = async <Config>(
  stage: Stage<Config>,
  config: Config,
  program: Iterable<Command>,
  tally: Tally = newTally(),
): Promise<void> => {
  const ran: Array<Command> = []
  try {
    const player = await stage.open(config, tally)
    for (const command of program) {
      if (!await command.check({ can: stage.can })) continue
      ran.push(command)
      count(tally, "command")
      await command.run({ can: stage.can }, player)
    }
    await player.end()
  } catch (error) {
    throw new ProgramFailed(print(stage, config, ran), brokenBy(error))
  }
}
