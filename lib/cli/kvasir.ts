/**
 * The command line: `kvasir generate | tokenize | score | doctor`.
 *
 * Exit status: 0 done, 1 the work failed, 2 the command line was wrong, 130 interrupted.
 *
 * @module
 */
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import { Cause, Effect, Exit } from "effect"
import { tmpdir } from "node:os"
import process from "node:process"
import type { Command, Failure } from "./command.ts"
import { doctor } from "./doctor.ts"
import { generate } from "./generate.ts"
import { helpOf, meant, Usage } from "./options.ts"
import * as Output from "./output.ts"
import { score } from "./score.ts"
import { tokenize } from "./tokenize.ts"

const commands: Readonly<Record<string, Command>> = { generate, tokenize, score, doctor }

const overview = [
  "kvasir COMMAND [OPTIONS]",
  "",
  ...Object.entries(commands).map(([name, { does }]) => `  ${name.padEnd(9)} ${does}`),
  "",
  "kvasir COMMAND --help shows the options of one.",
  "",
].join("\n")

const main = ([name, ...args]: ReadonlyArray<string>): Effect.Effect<void, Failure> => {
  if (name === undefined || ["help", "--help", "-h"].includes(name)) return Output.print(overview)
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) {
    const problem = `There is no command "${name}"${meant(name, Object.keys(commands))}`
    return Effect.fail(new Usage({ problem }))
  }
  const options = args.includes("--") ? args.slice(0, args.indexOf("--")) : args
  if (options.includes("--help") || options.includes("-h")) {
    const { takes, does, table } = command
    return Output.print(`kvasir ${name} ${takes} [OPTIONS]: ${does}\n\n${helpOf(table)}\n`)
  }
  return command.run(args)
}

/** One clear line for what a person did or has; a defect, which is ours, keeps its trace. */
const told = (cause: Cause.Cause<Failure>): Effect.Effect<void> => {
  const error = cause.reasons.find(Cause.isFailReason)?.error
  if (error !== undefined) return Output.note(`kvasir: ${error.message}\n`)
  return Cause.hasInterruptsOnly(cause)
    ? Effect.void
    : Output.note(`kvasir: this is a fault of Kvasir:\n${Cause.pretty(cause)}\n`)
}

const status = (exit: Exit.Exit<void, Failure>): number => {
  if (Exit.isSuccess(exit)) return 0
  if (Cause.hasInterruptsOnly(exit.cause)) return 130
  return exit.cause.reasons.find(Cause.isFailReason)?.error._tag === "Usage" ? 2 : 1
}

// Vulkan drivers complain on standard error where this is unset, as it is in most containers.
if (process.platform === "linux") process.env.XDG_RUNTIME_DIR ??= tmpdir()

// A reader that closed the pipe wants no more: that is an end, not a failure.
process.stdout.on("error", () => process.exit(0))

NodeRuntime.runMain(Effect.tapCause(main(process.argv.slice(2)), told), {
  disableErrorReporting: true,
  teardown: (exit, onExit) => onExit(status(exit as Exit.Exit<void, Failure>)),
})
