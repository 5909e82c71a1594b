/** Runs the command line as a process of its own, under the runtime that runs the tests. @module */
import { type ChildProcessByStdio, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import type { Readable } from "node:stream"
import { fileURLToPath } from "node:url"

/** The project's folder: processes run there. */
export const root: string = fileURLToPath(new URL("../../", import.meta.url))

const isBun = process.versions["bun"] !== undefined

/** What this runtime needs before the name of a script. */
export const command: ReadonlyArray<string> = [
  process.execPath,
  ...isBun ? [] : ["run", "-q", "-A"],
]

/** How the other runtime may be started, the nearest way first. */
export const others: ReadonlyArray<ReadonlyArray<string>> = isBun
  ? [["deno", "run", "-q", "-A"], ["npx", "-y", "deno@2.9.6", "run", "-A"]]
  : [["bun"], ["npx", "-y", "bun@1.4.5"]]

// Software drivers of the machine complain on standard error without it.
const env = {
  ...process.env,
  NO_COLOR: "1",
  XDG_RUNTIME_DIR: process.env["XDG_RUNTIME_DIR"] ?? tmpdir(),
}

/** What a process said. */
export interface Ended {
  /** The exit status; a signal's name where it was killed. */
  readonly status: number | string
  readonly stdout: string
  readonly stderr: string
}

/** A process that runs. */
export interface Started {
  readonly child: ChildProcessByStdio<null, Readable, Readable>
  readonly ended: Promise<Ended>
}

/** Starts a program. */
export const start = ([program = "", ...args]: ReadonlyArray<string>): Started => {
  const child = spawn(program, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] })
  const said = { stdout: "", stderr: "" }
  child.stdout.setEncoding("utf8").on("data", (text: string) => said.stdout += text)
  child.stderr.setEncoding("utf8").on("data", (text: string) => said.stderr += text)
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject)
    child.on("close", (code, signal) => resolve({ status: signal ?? code ?? "unknown", ...said }))
  })
  return { child, ended }
}

/** The words that start `kvasir` with these arguments. */
export const kvasir = (
  args: ReadonlyArray<string>,
  runtime: ReadonlyArray<string> = command,
): ReadonlyArray<string> => [...runtime, "lib/cli/kvasir.ts", ...args]

/** Runs `kvasir` to its end. */
export const run = (...args: ReadonlyArray<string>): Promise<Ended> => start(kvasir(args)).ended

/** A folder that is gone when the work is done. */
export const inFolder = async <A>(work: (folder: string) => Promise<A>): Promise<A> => {
  const folder = mkdtempSync(join(tmpdir(), "kvasir-cli-"))
  try {
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
