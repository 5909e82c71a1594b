/** Workers of a campaign, each a process: one that dies or does not end is a finding. @module */
import { type ChildProcess, spawn } from "node:child_process"
import process from "node:process"
import { createInterface } from "node:readline"
import type { Event } from "../property-tests/campaign/repeat.ts"

/** The workers of one campaign. */
export interface Crew {
  /** Runs a worker with these arguments; whether it came to its end. */
  readonly work: (args: ReadonlyArray<string>) => Promise<boolean>
  /** Ends them all, at once. */
  readonly stop: () => void
}

/** No batch is so slow: it is about a second's work. */
const patience = 180_000

const flags = process.versions["bun"] === undefined ? ["run", "-q", "-A"] : []

/** A crew whose workers run this file and print events, one a line. */
export const make = (file: string, hear: (event: Event) => void): Crew => {
  const running = new Set<ChildProcess>()
  let stopped = false
  const work = (args: ReadonlyArray<string>): Promise<boolean> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, [...flags, file, ...args], {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, SLACK: "1" },
      })
      running.add(child)
      let [said, late] = ["", false]
      let current: Event = { trial: "worker", adapter: "host", seed: 0, kind: "begins" }
      const expire = (): void => void (late = child.kill("SIGKILL"))
      let timer = setTimeout(expire, patience)
      child.stderr.on("data", (piece: Uint8Array) => {
        said = (said + new TextDecoder().decode(piece)).slice(-4000)
      })
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (!line.startsWith("{")) return
        clearTimeout(timer)
        timer = setTimeout(expire, patience)
        current = JSON.parse(line) as Event // a line of the worker
        hear(current)
      })
      child.on("close", (status, signal) => {
        clearTimeout(timer)
        running.delete(child)
        if (status !== 0 && !stopped) {
          const why = late ? `no end in ${patience / 1000} s` : `it died: ${signal ?? status}`
          const { trial, adapter, seed } = current
          hear({ trial, adapter, seed, kind: "found", seconds: 0, text: `${why}\n${said}` })
        }
        resolve(status === 0)
      })
    })
  const stop = (): void => {
    stopped = true
    for (const child of running) child.kill("SIGKILL")
  }
  return { work, stop }
}
