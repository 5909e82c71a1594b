/** Standard output and error, as effects. @module */
import { Effect } from "effect"
import process from "node:process"

const write = (to: "stdout" | "stderr") => (text: string): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    // A reader that has gone (`| head`) is no failure of ours: the signal or the end comes by itself.
    process[to].write(text, () => resume(Effect.void))
  })

/** Writes to standard output; done when the text has left the process. */
export const print: (text: string) => Effect.Effect<void> = write("stdout")

/** Writes to standard error. */
export const note: (text: string) => Effect.Effect<void> = write("stderr")

/** Is somebody watching standard error? */
export const watched: Effect.Effect<boolean> = Effect.sync(() => process.stderr.isTTY === true)

/** Replaces the line on a terminal; does nothing elsewhere. */
export const status = (text: string): Effect.Effect<void> =>
  Effect.flatMap(watched, (is) => is ? note(`\r\x1b[K${text}`) : Effect.void)

/** `3.0 MB`. */
export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
