/**
 * The peer of `llama.ts`: llama.cpp, by `node-llama-cpp`, each backend in a process of its own. It is no
 * dependency: npm brings it into a folder of its own.
 *
 * @module
 */
import { execFileSync, spawn } from "node:child_process"
import { copyFileSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import process from "node:process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import type { Keep, Question, Ready } from "./llamacpp_process.ts"

const version = "3.22.1"
const packages = ["node-llama-cpp", "@node-llama-cpp/linux-x64", "@node-llama-cpp/linux-x64-vulkan"]
const source = fileURLToPath(new URL("./llamacpp_process.ts", import.meta.url))

/** Which part of llama.cpp computes. */
export type Backend = "vulkan" | "cpu"

/** What it is called in a report. */
export const peer: { readonly [B in Backend]: string } = {
  vulkan: `llama.cpp Vulkan (node-llama-cpp ${version})`,
  cpu: `llama.cpp CPU (node-llama-cpp ${version})`,
}

/** A process that has loaded the model. */
export interface Peer extends Ready {
  readonly ask: (question: Question | Keep) => Promise<ReadonlyArray<number>>
}

/** Brings the packages into a folder, which goes with the scope; the file in it that is run. */
export const install: Effect.Effect<string, unknown, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "kvasir-bench-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true })),
  )
  // Its optional packages are builds for every other machine, its scripts would compile one more.
  const args = ["install", "--silent", "--omit=optional", "--ignore-scripts", "--prefix", folder]
  const wanted = packages.map((name) => `${name}@${version}`)
  yield* Effect.try({
    try: () => execFileSync("npm", [...args, ...wanted], { stdio: "pipe" }),
    catch: String,
  })
  const file = join(folder, "process.ts")
  copyFileSync(source, file) // there, its import finds the package
  return file
})

/** Starts a process and waits for its model; it ends with the scope. */
export const open = (
  file: string,
  model: string,
  backend: Backend,
  software: boolean,
  context = 512,
): Effect.Effect<Peer, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const flags = "deno" in process.versions ? ["run", "-A"] : []
    // llama.cpp leaves processors that play a GPU alone, unless a device is named.
    const env = { ...process.env, ...(software && { GGML_VK_VISIBLE_DEVICES: "0" }) }
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const args = [...flags, file, model, backend, `${context}`]
        return spawn(process.execPath, args, { cwd: dirname(file), env })
      }),
      (running) => Effect.sync(() => running.kill()),
    )
    let errors = ""
    child.stderr.on("data", (text) => errors = (errors + text).slice(-500))
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const hear = async <A>(): Promise<A> => {
      const { done, value } = await lines.next()
      if (done) throw new Error(`${peer[backend]} ended: ${errors}`)
      return JSON.parse(value) as A
    }
    const ready = yield* Effect.tryPromise({ try: () => hear<Ready>(), catch: String })
    return {
      ...ready,
      ask: (question) => {
        child.stdin.write(JSON.stringify(question) + "\n")
        return hear()
      },
    }
  })
