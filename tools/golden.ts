/**
 * Checks recorded cases on every device of this machine.
 *
 * `tools/golden.ts [DIR or FILE…]`: one line for each failing case, one for each file and device with its
 * largest error, and last `N passed, N failed`.
 *
 * @module
 */
import { Effect, Result } from "effect"
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { absent, type Adapter, adapters } from "../property-tests/adapters.ts"
import type { Checked } from "../property-tests/cases/checked.ts"
import { type Check, formatOf } from "../property-tests/cases/formats.ts"

const own = relative(
  process.cwd(),
  fileURLToPath(new URL("../property-tests/golden", import.meta.url)),
)

interface Counts {
  readonly passed: number
  readonly failed: number
}

/** The JSON of a folder with a model is the model's own. */
const isCases = (file: string): boolean =>
  file.endsWith(".json") && !existsSync(join(dirname(file), "config.json"))

const filesOf = (place: string): ReadonlyArray<string> =>
  statSync(place).isDirectory()
    ? readdirSync(place, { encoding: "utf8", recursive: true })
      .sort().map((name) => join(place, name)).filter(isCases)
    : [place]

const fails = (line: string): Counts => {
  console.log(`FAILED ${line}`)
  return { passed: 0, failed: 1 }
}

/** Lines of one file on one device. */
const tell = (adapter: string, file: string, cases: ReadonlyArray<Checked>): Counts => {
  const compared = cases.filter((one) => one._tag === "Compared")
  const failing = compared.filter(({ differs }) => differs.length > 0)
  for (const { name, differs } of failing) {
    console.log(`FAILED ${adapter} ${file} ${name}: ${differs.join("; ")}`)
  }
  const [passed, failed] = [compared.length - failing.length, failing.length]
  if (compared.length > 0) {
    const error = Math.max(...compared.map((one) => one.error)).toExponential(1)
    console.log(`${adapter} ${file}: ${passed} passed, ${failed} failed, largest error ${error}`)
  }
  for (const { name, notes } of compared) {
    for (const note of notes) console.log(`  ${name}: ${note}`)
  }
  const reasons = cases.flatMap((one) => one._tag === "Skipped" ? [one.reason] : [])
  for (const reason of new Set(reasons)) {
    const count = reasons.filter((one) => one === reason).length
    console.log(`${adapter} ${file}: ${count} skipped: ${reason}`)
  }
  return { passed, failed }
}

const parse = (file: string): Result.Result<unknown, unknown> =>
  Result.try(() => JSON.parse(readFileSync(file, "utf8")))

const runFile = async (
  { name, layer }: Adapter,
  file: string,
  check: Check,
  json: unknown,
): Promise<Counts> => {
  const exit = await Effect.runPromise(Effect.result(Effect.provide(check(json, file), layer)))
  return Result.match(exit, {
    onSuccess: (cases) => tell(name, file, cases),
    onFailure: ({ message }) => fails(`${name} ${file}: ${message.replaceAll(/\s+/g, " ")}`),
  })
}

const runAll = async (places: ReadonlyArray<string>): Promise<ReadonlyArray<Counts>> => {
  const counts: Array<Counts> = []
  for (const file of new Set(places.flatMap(filesOf))) {
    const json = parse(file)
    const check = Result.flatMap(json, formatOf)
    if (Result.isFailure(check)) {
      counts.push(fails(`${file}: its format is unknown: ${check.failure}`))
      continue
    }
    for (const adapter of adapters) {
      counts.push(await runFile(adapter, file, check.success, Result.getOrThrow(json)))
    }
  }
  return counts
}

for (const { name, reason } of absent) console.log(`${name} is not here: ${reason}`)
const places = process.argv.slice(2)
const missing = places.find((place) => statSync(place, { throwIfNoEntry: false }) === undefined)
const counts = missing === undefined
  ? await runAll(places.length > 0 ? places : [own])
  : [fails(`${missing}: there is no such folder or file`)]
const passed = counts.reduce((sum, one) => sum + one.passed, 0)
const failed = counts.reduce((sum, one) => sum + one.failed, 0)
if (passed + failed === 0) console.log("Cannot count this run as passed: no case was compared")
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
