/**
 * Which branches of the caches, of attention and of the file readers no test takes.
 *
 * `deno run -A tools/coverage.ts [FILE…]` runs the tests (all of them, or these) under Deno, prints a line a source,
 * then every branch that was not taken with its text, and last the totals.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../", import.meta.url))

/** The sources that the promise rests on. */
const watched =
  /^lib\/(cache|attention|snapshot)\/|^lib\/model\/(Gguf|Safetensors|Folder|Checkpoint|read|gguf\/.+|safetensors\/.+|folder\/.+|json\/.+)\.ts/

interface Source {
  readonly file: string
  readonly branches: number
  readonly taken: number
  /** Lines of branches that were not taken. */
  readonly missed: ReadonlyArray<number>
}

const run = (args: ReadonlyArray<string>): string => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...args], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  })
  if (status !== 0) {
    console.error(`${stdout}${stderr}\nCannot count branches as deno ${args[0]} failed: ${status}`)
    process.exit(1)
  }
  return stdout
}

/** Sources of a report in lcov's format: `BRDA:<line>,<block>,<branch>,<times or ->`. */
const sources = (report: string): ReadonlyArray<Source> =>
  report.split("end_of_record").flatMap((record) => {
    const file = relative(root, /^SF:(.+)$/m.exec(record)?.[1] ?? "")
    if (!watched.test(file)) return []
    const all = [...record.matchAll(/^BRDA:(\d+),\d+,\d+,(\S+)$/gm)]
    const missed = all.filter(([, , times]) => times === "0" || times === "-")
    return [{
      file,
      branches: all.length,
      taken: all.length - missed.length,
      missed: [...new Set(missed.map(([, line]) => Number(line)))],
    }]
  })

if (process.versions["bun"] !== undefined) {
  console.error("Cannot measure branches as Bun counts lines alone: deno task coverage")
  process.exit(1)
}
const files = process.argv.slice(2)
const folder = mkdtempSync(join(tmpdir(), "kvasir-coverage-"))
process.on("exit", () => rmSync(folder, { recursive: true })) // also where the tests fail
run([
  "test",
  "-A",
  "--no-check",
  `--coverage=${folder}`,
  ...files.length > 0 ? files : ["property-tests"],
])
const found = sources(run(["coverage", "--lcov", folder])).toSorted((a, b) =>
  a.file < b.file ? -1 : 1
)

const percent = (taken: number, branches: number): string =>
  `${(branches === 0 ? 100 : 100 * taken / branches).toFixed(1)} %`
for (const { file, branches, taken } of found) {
  console.log(`${percent(taken, branches).padStart(8)}  ${taken}/${branches}  ${file}`)
}
console.log("\nnot taken")
for (const { file, missed } of found) {
  const lines = readFileSync(root + file, "utf8").split("\n")
  for (const line of missed) console.log(`  ${file}:${line}  ${lines[line - 1]?.trim()}`)
}
const sum = (of: (source: Source) => number): number => found.reduce((all, one) => all + of(one), 0)
const [taken, branches] = [sum(({ taken }) => taken), sum(({ branches }) => branches)]
console.log(
  `\n${taken} of ${branches} branches of ${found.length} files taken, ${percent(taken, branches)}`,
)
