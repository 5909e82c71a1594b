/** Where and when a figure of the ledger was made. @module */
import { spawnSync } from "node:child_process"
import process from "node:process"

/** What a line of the ledger begins with. */
export interface Origin {
  readonly at: string
  readonly commit: string
  readonly runtime: string
}

/** Of this run, in the project at `root`. */
export const origin = (root: string): Origin => {
  const { bun, deno } = process.versions as { readonly [name: string]: string | undefined }
  const git = spawnSync("git", ["describe", "--always", "--dirty"], { cwd: root, encoding: "utf8" })
  return {
    at: new Date().toISOString(),
    commit: git.status === 0 ? git.stdout.trim() : "unknown",
    runtime: bun === undefined ? `Deno ${deno}` : `Bun ${bun}`,
  }
}
