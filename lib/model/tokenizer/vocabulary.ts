/**
 * The vocabulary of a GGUF file, checked.
 *
 * @module
 */
import { Result } from "effect"
import { BadModelFile, UnsupportedModel } from "../../errors.ts"
import * as Gguf from "../Gguf.ts"
import { type Pre, pres } from "./pre.ts"

/** Tokens, how they merge, and which begin and end a text. */
export interface Vocabulary {
  /** As stored, by id. */
  readonly tokens: ReadonlyArray<string>
  /** What each token is, `[vocabSize]`: one of `kinds`. */
  readonly types: ArrayLike<number>
  /** Pairs, the first to merge first. */
  readonly merges: ReadonlyArray<readonly [left: string, right: string]>
  /** How a text is cut before pairs merge. */
  readonly pre: Pre
  /** The id that begins a text. */
  readonly bos: number | undefined
  /** The id that ends a text. */
  readonly eos: number | undefined
  /** Whether BOS belongs before a text. */
  readonly addBos: boolean
  /** Whether EOS belongs after a text. */
  readonly addEos: boolean
}

/** The token types that matter here. */
export const kinds = { unknown: 2, control: 3, userDefined: 4 } as const

/** Whether a token is found as written in a text, before all else; its text is itself. */
export const literal = (type: number | undefined): boolean =>
  type === kinds.unknown || type === kinds.control || type === kinds.userDefined

// A longer one, or more, would make finding them in a text slow and large.
const literalLength = 1024
const literalLengths = 2 ** 20

const keys = {
  model: "tokenizer.ggml.model",
  pre: "tokenizer.ggml.pre",
  tokens: "tokenizer.ggml.tokens",
  types: "tokenizer.ggml.token_type",
  merges: "tokenizer.ggml.merges",
  bos: "tokenizer.ggml.bos_token_id",
  eos: "tokenizer.ggml.eos_token_id",
  addBos: "tokenizer.ggml.add_bos_token",
  addEos: "tokenizer.ggml.add_eos_token",
} as const

type Checked<A> = Result.Result<A, BadModelFile>

const bad = (from: Gguf.Metadata, key: string, state: string): Checked<never> => {
  const offset = from.metadata.get(key)?.offset ?? 0
  return Result.fail(new BadModelFile({ file: from.file, offset, reason: `"${key}" ${state}` }))
}

const tokenId = (from: Gguf.Metadata, key: string, size: number): Checked<number | undefined> =>
  from.metadata.has(key)
    ? Gguf.integer(from, key, { min: 0, max: size - 1 })
    : Result.succeed(undefined)

const checkLiterals = (
  from: Gguf.Metadata,
  tokens: ReadonlyArray<string>,
  types: ArrayLike<number>,
): Checked<void> => {
  let total = 0
  for (const [id, token] of tokens.entries()) {
    if (!literal(types[id])) continue
    total += token.length
    if (token.length > literalLength || total > literalLengths) {
      const most = `at most ${literalLength} in one and ${literalLengths} in all are read`
      return bad(
        from,
        keys.tokens,
        `has ${token.length} characters in special token ${id}: ${most}`,
      )
    }
  }
  return Result.succeed(undefined)
}

const readMerges = (
  from: Gguf.Metadata,
  tokens: ReadonlyArray<string>,
): Checked<Vocabulary["merges"]> =>
  Result.gen(function* () {
    const known = new Set(tokens)
    const out: Array<readonly [string, string]> = []
    for (const [i, line] of (yield* Gguf.strings(from, keys.merges)).entries()) {
      const [left, right, ...rest] = line.split(" ")
      if (left === undefined || right === undefined || rest.length > 0) {
        return yield* bad(
          from,
          keys.merges,
          `has ${Gguf.quote(line)} at ${i}: two words are needed`,
        )
      }
      if (!known.has(left) || !known.has(right) || !known.has(left + right)) {
        const need = "both words and the two joined must be tokens"
        return yield* bad(from, keys.merges, `has ${Gguf.quote(line)} at ${i}: ${need}`)
      }
      out.push([left, right])
    }
    return out
  })

const readPre = (
  from: Gguf.Metadata,
): Result.Result<Pre, BadModelFile | UnsupportedModel> =>
  Result.gen(function* () {
    const model = yield* Gguf.string(from, keys.model)
    if (model !== "gpt2") {
      const what = "tokenizer"
      return yield* Result.fail(
        new UnsupportedModel({ what, value: Gguf.quote(model), supported: '"gpt2"' }),
      )
    }
    const name = yield* Gguf.string(from, keys.pre, "default")
    const pre = pres.get(name)
    if (pre !== undefined) return pre
    const supported = [...pres.keys()].map((known) => `"${known}"`).join(", ").replace(
      /, (?="[^,]*$)/,
      " or ",
    )
    return yield* Result.fail(
      new UnsupportedModel({ what: "pre-tokenizer", value: Gguf.quote(name), supported }),
    )
  })

/** Reads the vocabulary of a file. */
export const read = (
  from: Gguf.Metadata,
): Result.Result<Vocabulary, BadModelFile | UnsupportedModel> =>
  Result.gen(function* () {
    const pre = yield* readPre(from)
    const tokens = yield* Gguf.strings(from, keys.tokens)
    if (tokens.length === 0) return yield* bad(from, keys.tokens, "is empty")
    const normal = tokens.map(() => 1)
    const types = yield* Gguf.numbers(from, keys.types, { min: 0, max: 6 }, normal)
    if (types.length !== tokens.length) {
      return yield* bad(
        from,
        keys.types,
        `has ${types.length} elements: ${tokens.length} are needed`,
      )
    }
    yield* checkLiterals(from, tokens, types)
    const merges = yield* readMerges(from, tokens)
    const bos = yield* tokenId(from, keys.bos, tokens.length)
    const eos = yield* tokenId(from, keys.eos, tokens.length)
    const addBos = yield* Gguf.boolean(from, keys.addBos, pre.addBos && bos !== undefined)
    const addEos = yield* Gguf.boolean(from, keys.addEos, false)
    if (addBos && bos === undefined) {
      return yield* bad(from, keys.addBos, `is true: "${keys.bos}" is missing`)
    }
    if (addEos && eos === undefined) {
      return yield* bad(from, keys.addEos, `is true: "${keys.eos}" is missing`)
    }
    return { tokens, types, merges, pre, bos, eos, addBos, addEos }
  })
