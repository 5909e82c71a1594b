/** Folders as Hugging Face lays them out, made of the tiny model's. @module */
import { Effect, Result } from "effect"
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Config from "../../lib/model/folder/config.ts"
import * as Vocabulary from "../../lib/model/folder/vocabulary.ts"
import { type Document, parse } from "../../lib/model/json/parse.ts"
import * as Safetensors from "../../lib/model/Safetensors.ts"
import * as Tokenizer from "../../lib/model/Tokenizer.ts"
import { Llama } from "../../mod.ts"
import type { Data } from "./safetensors.ts"

/** Some JSON. */
export type Patch = { readonly [key: string]: unknown }

/** The folder of the tiny model. */
export const hf: string = fileURLToPath(new URL("../golden/kjv-3m/hf", import.meta.url))
const json = (name: string): Patch => JSON.parse(readFileSync(join(hf, name), "utf8"))
/** Its `config.json`. */
export const config: Patch = json("config.json")
/** Its `tokenizer.json`. */
export const tokenizer: Patch & { readonly model: Patch } = {
  model: {},
  ...json("tokenizer.json"),
}

/** JSON as the reader gives it. */
export const document = (name: string, value: Patch): Document =>
  Result.getOrThrow(parse(name, new TextEncoder().encode(JSON.stringify(value))))

/** Reads a patched `config.json`. */
export const readConfig = (patch: Patch): ReturnType<typeof Config.read> =>
  Config.read(document("config.json", { ...config, ...patch }), "kjv")

/** What the files of a vocabulary say in place of the tiny model's. */
export interface Said {
  readonly config?: Patch
  readonly tokenizer?: Patch
  readonly model?: Patch
  readonly tokenizerConfig?: Patch
  readonly generationConfig?: Patch
  readonly size?: number
}

/** Reads a patched vocabulary. */
export const readVocabulary = (said: Said): ReturnType<typeof Vocabulary.read> => {
  const optional = (name: string, value: Patch | undefined) => value && document(name, value)
  return Vocabulary.read({
    config: document("config.json", { ...config, ...said.config }),
    tokenizer: document("tokenizer.json", {
      ...tokenizer,
      model: { ...tokenizer.model, ...said.model },
      ...said.tokenizer,
    }),
    tokenizerConfig: optional("tokenizer_config.json", said.tokenizerConfig),
    generationConfig: optional("generation_config.json", said.generationConfig),
  }, said.size ?? 2048)
}

/** The tokenizer of a patched vocabulary. */
export const tokenizerOf = (said: Said): Tokenizer.Tokenizer =>
  Tokenizer.fromVocabulary(Result.getOrThrow(readVocabulary(said)))

/** Every tensor of the tiny model, as stored. */
export const tensors: ReadonlyArray<Data & { readonly data: Uint8Array<ArrayBuffer> }> = (() => {
  const bytes = readFileSync(join(hf, "model.safetensors"))
  const parsed = Result.getOrThrow(Safetensors.parse("kjv", bytes))
  return Array.from(parsed.tensors.values(), ({ name, shape, offset, bytes: length }) => ({
    name,
    dtype: "F16",
    shape,
    data: new Uint8Array(bytes.subarray(offset, offset + length)),
  }))
})()

/** What a file holds; `"as is"` is the tiny model's own. */
export type Content = Uint8Array | string | Patch

/** Files by name. */
export type Files = { readonly [file: string]: Content }

/** Makes a folder for a while. The tiny model's own files are links in it, as in a download cache. */
export const withFolder = async <A>(
  files: Files,
  use: (path: string) => Promise<A>,
): Promise<A> => {
  const path = mkdtempSync(join(tmpdir(), "kvasir-"))
  try {
    for (const [file, content] of Object.entries(files)) {
      const at = join(path, file)
      if (content === "as is") symlinkSync(join(hf, file), at)
      else if (typeof content === "string" || content instanceof Uint8Array) {
        writeFileSync(at, content)
      } else writeFileSync(at, JSON.stringify(content))
    }
    return await use(path)
  } finally {
    rmSync(path, { recursive: true })
  }
}

/** Why a folder cannot be opened, with its own path cut out. */
export const refusal = (path: string): Promise<string> =>
  Effect.runPromise(Effect.map(
    Effect.flip(Effect.scoped(Llama.open(path))),
    ({ message }) => message.replaceAll(path, "DIR"),
  ))

/** The step of a pre-tokenizer that writes bytes as letters. */
export const bytes = (use_regex: boolean): Patch => ({
  type: "ByteLevel",
  add_prefix_space: false,
  use_regex,
})

/** A pre-tokenizer of several steps. */
export const sequence = (...pretokenizers: ReadonlyArray<unknown>): Patch => ({
  type: "Sequence",
  pretokenizers,
})

/** A step that cuts out what matches. */
export const split = (Regex: string): Patch => ({
  type: "Split",
  pattern: { Regex },
  behavior: "Isolated",
  invert: false,
})

/** Llama 3's expression, as its file has it. */
export const llama3: string =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" +
  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/** A post-processor that puts tokens around a text, which is `A`. */
export const template = (...single: ReadonlyArray<string>): Patch => ({
  type: "Sequence",
  processors: [{ type: "ByteLevel" }, {
    type: "TemplateProcessing",
    single: single.map((id) =>
      id === "A" ? { Sequence: { id, type_id: 0 } } : { SpecialToken: { id, type_id: 0 } }
    ),
  }],
})

/** What is said of a value that is not run. */
export const notRun = (what: string, value: string, supported: string): string =>
  `run a model whose ${what} is ${JSON.stringify(value)}: ${supported} is supported`
