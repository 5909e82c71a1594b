/** The files of one vocabulary: read, and texts cut by what was read and by `@huggingface/tokenizers`. @module */
import { Tokenizer as Reference } from "@huggingface/tokenizers"
import { Result } from "effect"
import assert from "node:assert/strict"
import * as Config from "../../../lib/model/folder/config.ts"
import * as Vocabulary from "../../../lib/model/folder/vocabulary.ts"
import { parse } from "../../../lib/model/json/parse.ts"
import * as Tokenizer from "../../../lib/model/Tokenizer.ts"
import { guarded, type Outcome } from "../guard.ts"
import type { Random } from "../random.ts"
import { anyProse, bytesOfAll, type Made } from "./make.ts"

/** What the files say. */
interface Read {
  readonly vocabulary: Vocabulary.Read
  readonly tokenizer: Tokenizer.Tokenizer
}

/** Reads the files of a vocabulary, without any file. */
export const read = (files: ReturnType<typeof bytesOfAll>): Outcome<Read> => {
  const size = Object.values(files).reduce((sum, { length }) => sum + length, 0)
  return guarded(size, () =>
    Result.gen(function* () {
      const config = yield* parse("config.json", files.config)
      const { vocab } = yield* Config.read(config, "x")
      const vocabulary = yield* Vocabulary.read({
        config,
        tokenizer: yield* parse("tokenizer.json", files.tokenizer),
        tokenizerConfig: yield* parse("tokenizer_config.json", files.tokenizerConfig),
        generationConfig: yield* parse("generation_config.json", files.generationConfig),
      }, vocab)
      return { vocabulary, tokenizer: Tokenizer.fromVocabulary(vocabulary) }
    }))
}

const isId = ({ vocabSize }: Tokenizer.Tokenizer) => (id: number | undefined) =>
  id === undefined || (Number.isInteger(id) && id >= 0 && id < vocabSize)

/** A kind of difference in the ids of a text, by what it needs to be there. */
export interface Difference {
  readonly kind: string
  readonly right: "this reader" | "the other" | "both"
  readonly why: string
  readonly is: (given: Given) => boolean
}

/** What a difference is judged by. */
export interface Given {
  readonly vocabulary: Vocabulary.Read
  readonly text: string
  /** The file as the engine reads it. */
  readonly json: { readonly [key: string]: unknown }
}

/** Ids of the other, or why it has none. */
const theirs = (files: ReturnType<typeof bytesOfAll>, text: string) =>
  Result.try(() => {
    const json = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes))
    const other = new Reference(json(files.tokenizer), {})
    return other.encode(text, { add_special_tokens: false }).ids
  })

/** What came of one text. */
export type Compared = "equal" | "unencodable" | Difference

const compare = (
  files: ReturnType<typeof bytesOfAll>,
  { vocabulary, tokenizer }: Read,
  text: string,
  differences: ReadonlyArray<Difference>,
): Compared => {
  const ours = guarded(
    files.tokenizer.length + 16 * text.length,
    () => Tokenizer.encode(tokenizer, text),
  )
  if (Result.isFailure(ours)) return "unencodable"
  assert.ok(ours.success.every(isId(tokenizer)))
  const other = theirs(files, text)
  if (Result.isSuccess(other) && String(other.success) === String(ours.success)) return "equal"
  const json = JSON.parse(new TextDecoder().decode(files.tokenizer))
  const known = differences.find(({ is }) => is({ vocabulary, text, json }))
  if (known !== undefined) return known
  const said = Result.isSuccess(other) ? `${other.success}` : String(other.failure)
  const at = Result.isSuccess(other)
    ? ours.success.findIndex((id, i) => id !== other.success[i])
    : 0
  const [mine, its] = [String(ours.success.slice(at, at + 99)), said.slice(0, 999)]
  throw new Error(
    `the text ${JSON.stringify(text)} is, from id ${at}, ${mine} here and ${its} there`,
  )
}

/** Reads files and cuts texts; gives what came of each text, none where the files are refused. */
export const check = (
  random: Random,
  { trees }: Made,
  differences: ReadonlyArray<Difference>,
): ReadonlyArray<Compared> => {
  const files = bytesOfAll(trees)
  const outcome = read(files)
  if (Result.isFailure(outcome)) return []
  const { tokenizer } = outcome.success
  const ids = [tokenizer.bos, tokenizer.eos, ...tokenizer.stops, ...tokenizer.special]
  assert.ok(ids.every(isId(tokenizer)))
  return [0, 1].map(() => compare(files, outcome.success, anyProse(random), differences))
}
