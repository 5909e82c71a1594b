/** The model that comes with the package. @module */
import { Effect } from "effect"
import { BadModelFile } from "../errors.ts"
import * as Source from "./gguf/Source.ts"

const url = new URL("../../models/kjv-3m-q8_0.gguf", import.meta.url)

/**
 * `models/kjv-3m-q8_0.gguf` (3.0 MB), from wherever the package is imported: a checkout, an installed package
 * or a web address.
 */
export const embedded: Effect.Effect<Source.Source, BadModelFile> = Effect.tryPromise({
  try: async () => {
    if (url.protocol === "file:") { // Node's fetch refuses it
      const { readFile } = await import("node:fs/promises")
      return Source.bytes("kjv-3m-q8_0.gguf", await readFile(url))
    }
    const response = await fetch(url)
    if (!response.ok) throw new Error(`the answer was ${response.status}`)
    return Source.bytes("kjv-3m-q8_0.gguf", new Uint8Array(await response.arrayBuffer()))
  },
  catch: (error) => {
    const reason = `it could not be read: ${error instanceof Error ? error.message : error}`
    return new BadModelFile({ file: url.href, offset: 0, reason })
  },
})
