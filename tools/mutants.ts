/**
 * Tests the tests: makes one mistake at a time in a copy of the sources, and sees to it that some test fails.
 *
 * `tools/mutants.ts [LIST…] [--filter TEXT] [--workers N]`, or `--help`, which says what a list is. One line a
 * mutant says which law or test caught it, and in which random case; the last is `N killed, N survived`. It fails if
 * any survived or could not be made. The checkout is never written to.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import process from "node:process"
import { fileURLToPath, pathToFileURL } from "node:url"
import { parseArgs } from "node:util"
import { adapters } from "../property-tests/adapters.ts"
import { lists, type Mutant, parse } from "../property-tests/mutants/mutant.ts"
import { testsOf } from "../property-tests/mutants/tests.ts"
import * as Workplace from "./workplace.ts"

const help =
  `Makes one mistake at a time in a copy of the sources and runs the tests that should notice.

tools/mutants.ts [LIST…] [--filter TEXT] [--workers N]

LIST       a JSON file, or a TypeScript file that exports it as default: an array of
           { "file": path of a source, from the root of the project
             "from": text that stands in it exactly once
             "to":   what is put in its place
             "why":  the mistake, in a few words
             "tests": [test files to try first; may be left out] }
           Without one, those of property-tests/mutants.
--filter   only mutants whose file or mistake contains TEXT
--workers  copies that are tested at a time, 2 unless told

A line names the law or test that caught the mistake, and, where that draws random cases, how many it needed.
They are the same each time: the seed is 7, unless FC_SEED says otherwise.

A text that is not there, or more than once, fails the run. So does a mutant with which the tests do not load
or a shader does not compile: that proves nothing. Shaders need a WebGPU adapter; without one they are skipped.`

const root = fileURLToPath(new URL("../", import.meta.url))
const own = lists.map((name) => join(root, `property-tests/mutants/${name}.ts`))

const { values, positionals } = parseArgs({
  options: {
    filter: { type: "string", default: "" },
    workers: { type: "string", default: "2" },
    help: { type: "boolean", default: false },
  },
  allowPositionals: true,
})
if (values.help) {
  console.log(help)
  process.exit()
}

const read = async (name: string): Promise<ReadonlyArray<Mutant> | string> => {
  const path = resolve(name)
  if (!existsSync(path)) return `Cannot read ${name}: there is no such file`
  try {
    const list: unknown = name.endsWith(".json")
      ? JSON.parse(readFileSync(path, "utf8"))
      : (await import(pathToFileURL(path).href)).default
    return parse(name, list)
  } catch (error) {
    return `Cannot read ${name}: ${String(error)}`
  }
}

const counts = { killed: 0, survived: 0, failed: 0, skipped: 0 }

const tell = (kind: keyof typeof counts, { file, why }: Mutant, rest: string): void => {
  counts[kind]++
  const word = kind === "killed" || kind === "skipped" ? kind : kind.toUpperCase()
  console.log(`${word.padEnd(8)} ${file}: ${why}  ${rest}`)
}

/** The source with the mistake in it, or why it cannot be made. */
const mutated = ({ file, from, to }: Mutant): { readonly text: string } | string => {
  const path = join(root, file)
  if (!existsSync(path)) return "there is no such file"
  if (from === "" || from === to) return "it changes nothing"
  const pieces = readFileSync(path, "utf8").split(from)
  if (pieces.length === 2) return { text: pieces.join(to) }
  return pieces.length === 1
    ? `its text is not there: ${from}`
    : `its text is there ${pieces.length - 1} times: ${from}`
}

/** Seconds that tests take without any change; undefined where they fail: what fails anyway kills nothing. */
const sound = new Map<string, Promise<number | undefined>>()
const secondsOf = (folder: string, test: string): Promise<number | undefined> => {
  const found = sound.get(test) ??
    Workplace.run(folder, test, 600).then(({ ended, seconds }) =>
      ended === "passed" ? seconds : undefined
    )
  sound.set(test, found)
  return found
}

const judge = async (folder: string, mutant: Mutant, text: string): Promise<void> => {
  const start = performance.now()
  const seconds = (): string => `(${((performance.now() - start) / 1000).toFixed(1)} s)`
  for (const test of new Set([...mutant.tests ?? [], ...testsOf(mutant.file)])) {
    const usual = await secondsOf(folder, test)
    if (usual === undefined) {
      return tell("failed", mutant, `${test} fails without it  ${seconds()}`)
    }
    const run = () => Workplace.run(folder, test, 20 + 10 * usual) // longer is an endless loop
    const { ended, title, law, cases, output } = await Workplace.changed(
      folder,
      mutant.file,
      text,
      async () => {
        const first = await run()
        // A driver may crash under a test that fails nothing: that is no verdict, unless it does so again.
        return first.ended === "failed" && first.title === undefined ? run() : first
      },
    )
    if (ended === "passed") continue
    if (ended === "time") {
      return tell("killed", mutant, `by the time limit of ${test}  ${seconds()}`)
    }
    if (title === undefined || output.includes("does not compile")) {
      return tell(
        "failed",
        mutant,
        `with it ${title ?? test} does not load or compile  ${seconds()}`,
      )
    }
    const what = law === undefined ? title : `${title}: ${law}`
    const after = cases === undefined ? "" : `, case ${cases}`
    return tell("killed", mutant, `by ${what}${after}  ${seconds()}`)
  }
  tell("survived", mutant, seconds())
}

const begun = performance.now()
const found = await Promise.all((positionals.length > 0 ? positionals : own).map(read))
for (const list of found) {
  if (typeof list !== "string") continue
  console.log(list)
  counts.failed++
}
const chosen = found.flatMap((list) => typeof list === "string" ? [] : list)
  .filter(({ file, why }) => `${file}: ${why}`.includes(values.filter))
const shaders = adapters.length > 1
const queue = chosen.flatMap((mutant) => {
  const made = mutated(mutant)
  if (typeof made === "string") return tell("failed", mutant, made) ?? []
  if (shaders || !mutant.file.endsWith(".wgsl.ts")) return [{ mutant, text: made.text }]
  return tell("skipped", mutant, "there is no WebGPU adapter") ?? []
})

const work = async (folder: string): Promise<void> => {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    await judge(folder, next.mutant, next.text)
  }
}
const workers = Math.max(1, Math.min(queue.length, Math.trunc(Number(values.workers)) || 2))
await Promise.all(Array.from({ length: workers }, () => work(Workplace.make(root))))

if (chosen.length === 0) console.log("Cannot count this run as passed: no mutant was chosen")
const minutes = ((performance.now() - begun) / 60_000).toFixed(1)
console.log(`Seed ${Workplace.seed}, ${minutes} minutes`)
const others = (["failed", "skipped"] as const).filter((kind) => counts[kind] > 0)
console.log([
  `${counts.killed} killed, ${counts.survived} survived`,
  ...others.map((kind) => `${counts[kind]} ${kind}`),
].join(", "))
process.exit(counts.survived + counts.failed > 0 || counts.killed === 0 ? 1 : 0)
