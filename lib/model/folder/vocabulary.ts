/**
 * The vocabulary of a folder: `tokenizer.json`, and what other files say of its special tokens.
 *
 * @module
 */
import { Result } from "effect"
import type { BadModelFile, UnsupportedModel } from "../../errors.ts"
import * as Get from "../json/get.ts"
import type { Document } from "../json/parse.ts"
import type { Vocabulary } from "../tokenizer/vocabulary.ts"
import { checkModel, kindOf } from "./kind.ts"
import { type Around, around, unsupported } from "./pre.ts"
import { readMerges, readTokens } from "./tokens.ts"

type Checked<A> = Result.Result<A, BadModelFile | UnsupportedModel>

/** The files that speak of tokens. */
export interface Files {
  readonly config: Document
  readonly tokenizer: Document
  readonly tokenizerConfig: Document | undefined
  readonly generationConfig: Document | undefined
}

/** Ids of `config.json` and its like: none, one or several. */
const idsIn = (
  from: Document | undefined,
  key: string,
  size: number,
): Checked<ReadonlyArray<number>> => {
  if (from === undefined || !Get.has(from, key)) return Result.succeed([])
  const several = from.keys.get(key)
  return Result.all((Get.isArray(several) ? several : [several!]).map((id) => {
    const one = { ...from, keys: new Map([[key, id]]) }
    return Get.integer(one, key, { min: 0, max: size - 1 })
  }))
}

const special = (
  { config, tokenizerConfig, generationConfig }: Files,
  ids: ReadonlyMap<string, number>,
  name: "bos_token" | "eos_token",
  size: number,
): Checked<number | undefined> =>
  Result.gen(function* () {
    if (tokenizerConfig !== undefined && Get.has(tokenizerConfig, name)) {
      const value = tokenizerConfig.keys.get(name)
      const token = Get.isObject(value)
        ? yield* Get.string(yield* Get.object(tokenizerConfig, name), "content")
        : yield* Get.string(tokenizerConfig, name)
      return ids.get(token) ?? (yield* Get.bad(tokenizerConfig, name, "is not in the vocabulary"))
    }
    const [generated] = yield* idsIn(generationConfig, `${name}_id`, size)
    const [configured] = yield* idsIn(config, `${name}_id`, size)
    return generated ?? configured
  })

/** Whether a special token belongs on one side of a text. */
const isAdded = (
  { tokenizerConfig, tokenizer }: Files,
  key: "add_bos_token" | "add_eos_token",
  written: ReadonlyArray<string> | undefined,
  id: number | undefined,
  ids: ReadonlyMap<string, number>,
): Checked<boolean> =>
  Result.gen(function* () {
    if (written !== undefined && (written.length > 1 || written.some((t) => ids.get(t) !== id))) {
      return yield* unsupported("post-processor", written.join(" "), "BOS before and EOS after")
    }
    // A tokenizer of Llama's own class begins every text with BOS unless it is told otherwise.
    const type = tokenizerConfig && (yield* Get.string(tokenizerConfig, "tokenizer_class", ""))
    const usual = key === "add_bos_token" && id !== undefined &&
      (type ?? "Llama").startsWith("Llama")
    const otherwise = written === undefined ? usual : written.length > 0
    if (tokenizerConfig === undefined) return otherwise
    const added = yield* Get.boolean(tokenizerConfig, key, otherwise)
    if (!added || id !== undefined) return added
    return yield* Get.bad(tokenizerConfig, key, `is true: ${tokenizer.file} names no such token`)
  })

/** A vocabulary, and the ids that end what a model says, of which a chat model has several. */
export interface Read extends Vocabulary {
  readonly stops: ReadonlyArray<number>
}

/** Reads the vocabulary of a model of `size` embeddings. */
export const read = (files: Files, size: number): Checked<Read> =>
  Result.gen(function* () {
    const { tokenizer, config, generationConfig } = files
    const model = yield* Get.object(tokenizer, "model")
    yield* checkModel(model)
    const kind = yield* kindOf(tokenizer, model)
    const known = yield* readTokens(tokenizer, model, size, kind === "letters")
    const said: Around | undefined = Get.has(tokenizer, "post_processor")
      ? yield* around(yield* Get.object(tokenizer, "post_processor"))
      : undefined
    const bos = yield* special(files, known.ids, "bos_token", size)
    const eos = yield* special(files, known.ids, "eos_token", size)
    const addBos = yield* isAdded(files, "add_bos_token", said?.before, bos, known.ids)
    return {
      tokens: known.tokens,
      types: known.types,
      merges: yield* readMerges(model, known.ids),
      pre: kind === "letters" ? undefined : { ...kind, addBos },
      bos,
      eos,
      addBos,
      addEos: yield* isAdded(files, "add_eos_token", said?.after, eos, known.ids),
      stops: [
        ...yield* idsIn(config, "eos_token_id", size),
        ...yield* idsIn(generationConfig, "eos_token_id", size),
      ],
    }
  })
