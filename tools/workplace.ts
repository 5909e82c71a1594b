/** A copy of the project in a temporary folder, in which a source may be changed and tests be run. @module */
import { spawn } from "node:child_process"
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { parse } from "./junit.ts"

/** What running a test file, or a folder of them, came to. */
export interface Run {
  readonly ended: "passed" | "failed" | "time"
  /** The first test that failed. */
  readonly title: string | undefined
  /** The law that it found broken, if it names one. */
  readonly law: string | undefined
  /** Cases that a property of it needed. */
  readonly cases: number | undefined
  readonly seconds: number
  readonly output: string
}

/** Large, and never changed by a test: the copy has links to them. */
const linked: ReadonlySet<string> = new Set(["node_modules", ".cache"])

/** Seed of every property, unless FC_SEED says otherwise: the same cases are tried each time. */
export const seed: string = process.env["FC_SEED"] ?? "7"

const folders = new Set<string>()
const running = new Set<{ kill: (signal: "SIGKILL") => boolean }>()

const clean = (): void => {
  for (const child of running) child.kill("SIGKILL")
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  folders.clear()
}
process.on("exit", clean)
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  process.on(signal, () => process.exit(code))
}

/** Copies the project; the copy is gone when this process is. */
export const make = (root: string): string => {
  const folder = mkdtempSync(join(tmpdir(), "kvasir-mutants-"))
  folders.add(folder)
  for (const name of readdirSync(root)) {
    const [from, to] = [join(root, name), join(folder, name)]
    if (linked.has(name)) symlinkSync(realpathSync(from), to)
    else if (name !== ".git") cpSync(from, to, { recursive: true })
  }
  return folder
}

/** Runs `act` while a file of the copy has another text. */
export const changed = async <A>(
  folder: string,
  file: string,
  text: string,
  act: () => Promise<A>,
): Promise<A> => {
  const path = join(folder, file)
  const before = readFileSync(path)
  writeFileSync(path, text)
  try {
    return await act()
  } finally {
    writeFileSync(path, before)
  }
}

const preload = "--preload=./property-tests/mutants/seed.ts"
const flags = (report: string): ReadonlyArray<string> =>
  process.versions["bun"] === undefined
    ? ["test", "-A", "--no-check", "--fail-fast", preload, `--junit-path=${report}`]
    : ["test", "--timeout=120000", preload, "--reporter=junit", `--reporter-outfile=${report}`]

/** Of the error itself, or of its cause: the source lines that a report quotes say more than happened. */
const lawOf = (output: string): string | undefined =>
  /^(?:error|Caused by|\w*Error)\b.*?\b(law \d.*)$/m.exec(output)?.[1]

/** Runs tests in the copy. What runs longer than `limit` seconds is ended. */
export const run = (folder: string, tests: string, limit: number): Promise<Run> => {
  const report = join(folder, "mutants.junit.xml")
  rmSync(report, { force: true })
  const env = { ...process.env, FC_SEED: seed, NO_COLOR: "1" }
  const start = performance.now()
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...flags(report), `./${tests}`], { cwd: folder, env })
    running.add(child)
    let [output, late] = ["", false]
    const hear = (piece: Uint8Array): void => void (output += new TextDecoder().decode(piece))
    child.stdout.on("data", hear)
    child.stderr.on("data", hear)
    const timer = setTimeout(() => {
      late = true
      child.kill("SIGKILL")
    }, 1000 * limit)
    child.on("close", (status) => {
      clearTimeout(timer)
      running.delete(child)
      const cases = existsSync(report) ? parse(readFileSync(report, "utf8")) : []
      const needed = /failed after (\d+) test/.exec(output)?.[1]
      resolve({
        ended: late ? "time" : status === 0 ? "passed" : "failed",
        law: lawOf(output),
        title: cases.find(({ outcome }) => outcome === "failed")?.name,
        cases: needed === undefined ? undefined : Number(needed),
        seconds: (performance.now() - start) / 1000,
        output,
      })
    })
  })
}
