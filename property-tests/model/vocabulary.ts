/** The embedded model's vocabulary, and metadata made from it. @module */
import { Result } from "effect"
import { readFileSync } from "node:fs"
import * as Gguf from "../../lib/model/Gguf.ts"
import * as Tokenizer from "../../lib/model/Tokenizer.ts"

/** A file of the project. */
export const read = (name: string): Uint8Array =>
  readFileSync(new URL(`../../${name}`, import.meta.url))
/** The value of a result that must be one. */
export const ok = <A, E>(result: Result.Result<A, E>): A => Result.getOrThrow(result)

const gguf = ok(Gguf.parse("kjv", read("models/kjv-3m-q8_0.gguf")))
/** The tokenizer of the embedded model. */
export const kjv: Tokenizer.Tokenizer = ok(Tokenizer.fromGguf(gguf))
/** Its tokens. */
export const tokens: ReadonlyArray<string> = ok(Gguf.strings(gguf, "tokenizer.ggml.tokens"))

/** Keys of `tokenizer.ggml`, without that. */
export type Patch = { readonly [key: string]: Gguf.Value["data"] | undefined }
/** The model's metadata with keys of `tokenizer.ggml` replaced, or taken away. */
export const patched = (patch: Patch): Gguf.Metadata => {
  const metadata = new Map(gguf.metadata)
  for (const [name, data] of Object.entries(patch)) {
    const key = `tokenizer.ggml.${name}`
    const type = typeof data === "string" ? "string" : Array.isArray(data) ? "string[]" : "u32"
    if (data === undefined) metadata.delete(key)
    else metadata.set(key, { type, offset: 7, data })
  }
  return { file: "x.gguf", metadata }
}
/** The tokenizer of patched metadata. */
export const withPatch = (patch: Patch): Tokenizer.Tokenizer =>
  ok(Tokenizer.fromGguf(patched(patch)))

/** What a failure says. */
export const reason = <A, E extends { readonly message: string }>(
  result: Result.Result<A, E>,
): string => Result.isFailure(result) ? result.failure.message : "no failure"
