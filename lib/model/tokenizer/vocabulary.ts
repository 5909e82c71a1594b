/**
 * The vocabulary of a GGUF file, checked: what every kind of it has.
 *
 * @module
 */
import { Result } from "effect"
import { BadModelFile } from "../../errors.ts"
import * as Gguf from "../Gguf.ts"
import type { Pre } from "./pre.ts"

/** Tokens, and what each of them is. */
export interface Tokens {
  /** As stored, by id. */
  readonly tokens: ReadonlyArray<string>
  /** What each token is, `[vocabSize]`: one of `kinds`. */
  readonly types: ArrayLike<number>
}

/** How a kind of vocabulary reads and writes text. */
export interface Coder {
  /** Whether BOS comes first when the file does not say. */
  readonly addBos: boolean
  /** The ids of a text, without checks. */
  readonly ids: (text: string) => ReadonlyArray<number>
  /** Writes the bytes of a token that is not `literal` to `out` from `at` on; gives where they end. */
  readonly write: (
    token: string,
    type: number | undefined,
    out: Uint8Array<ArrayBuffer>,
    at: number,
  ) => number
  /** The texts that decoding the ids of a text may give, when nothing of it was lost. */
  readonly returns: (text: string) => ReadonlyArray<string>
}

/** Which ids begin and end a text. */
export interface Ends {
  /** The id that begins a text. */
  readonly bos: number | undefined
  /** The id that ends a text. */
  readonly eos: number | undefined
  /** Whether BOS belongs before a text. */
  readonly addBos: boolean
  /** Whether EOS belongs after a text. */
  readonly addEos: boolean
}

/** A vocabulary whose pairs merge in the order of a list, and which tokens begin and end a text. */
export interface Vocabulary extends Tokens, Ends {
  /** Pairs, the first to merge first. */
  readonly merges: ReadonlyArray<readonly [left: string, right: string]>
  /**
   * How a text is cut before its bytes merge. Undefined: not at all, its letters merge, and one without a token
   * is bytes, a token each.
   */
  readonly pre: Pre | undefined
}

/** The token types that matter here. */
export const kinds = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const

/** Whether a token is found as written in a text, before all else; its text is itself. */
export const literal = (type: number | undefined): boolean =>
  type === kinds.unknown || type === kinds.control || type === kinds.userDefined

/** The literal tokens, with their ids. */
export const literalTokens = (
  { tokens, types }: Tokens,
): ReadonlyArray<readonly [id: number, text: string]> => {
  const out: Array<readonly [id: number, text: string]> = []
  tokens.forEach((text, id) => {
    if (literal(types[id]) && text !== "") out.push([id, text])
  })
  return out
}

/** Characters of literal tokens, at most: longer ones would make finding them in a text slow and large. */
export const literals: {
  /** In one token. */
  readonly one: number
  /** In all of them. */
  readonly all: number
} = { one: 1024, all: 2 ** 20 }

const keys = {
  tokens: "tokenizer.ggml.tokens",
  types: "tokenizer.ggml.token_type",
  bos: "tokenizer.ggml.bos_token_id",
  eos: "tokenizer.ggml.eos_token_id",
  eot: "tokenizer.ggml.eot_token_id",
  eom: "tokenizer.ggml.eom_token_id",
  addBos: "tokenizer.ggml.add_bos_token",
  addEos: "tokenizer.ggml.add_eos_token",
} as const

/** What chat templates end a turn with; not every file says which of its tokens that is. */
const turnEnds = ["<|im_end|>", "<end_of_turn>", "<|eot_id|>"]

type Checked<A> = Result.Result<A, BadModelFile>

/** A failure at a key. */
export const bad = (from: Gguf.Metadata, key: string, state: string): Checked<never> => {
  const offset = from.metadata.get(key)?.offset ?? 0
  return Result.fail(new BadModelFile({ file: from.file, offset, reason: `"${key}" ${state}` }))
}

/** Fails unless an array has an element for each token. */
export const checkLength = (
  from: Gguf.Metadata,
  key: string,
  array: ArrayLike<unknown>,
  tokens: ReadonlyArray<string>,
): Checked<void> =>
  array.length === tokens.length
    ? Result.succeed(undefined)
    : bad(from, key, `has ${array.length} elements: ${tokens.length} are needed`)

const checkLiterals = (from: Gguf.Metadata, vocabulary: Tokens): Checked<void> => {
  let total = 0
  for (const [id, token] of literalTokens(vocabulary)) {
    total += token.length
    if (token.length > literals.one || total > literals.all) {
      const most = `at most ${literals.one} in one and ${literals.all} in all are read`
      const state = `has ${token.length} characters in special token ${id}: ${most}`
      return bad(from, keys.tokens, state)
    }
  }
  return Result.succeed(undefined)
}

/** Reads the tokens of a file. */
export const read = (from: Gguf.Metadata): Checked<Tokens> =>
  Result.gen(function* () {
    const tokens = yield* Gguf.strings(from, keys.tokens)
    if (tokens.length === 0) return yield* bad(from, keys.tokens, "is empty")
    const normal = tokens.map(() => kinds.normal)
    const types = yield* Gguf.numbers(from, keys.types, { min: 0, max: 6 }, normal)
    yield* checkLength(from, keys.types, types, tokens)
    yield* checkLiterals(from, { tokens, types })
    return { tokens, types }
  })

/** The id that a key names, if it is there. */
const tokenId = (
  from: Gguf.Metadata,
  key: string,
  { tokens }: Tokens,
): Checked<number | undefined> =>
  from.metadata.has(key)
    ? Gguf.integer(from, key, { min: 0, max: tokens.length - 1 })
    : Result.succeed(undefined)

/** Reads which ids begin and end a text; `otherwise` is `addBos` of a file that does not say. */
export const ends = (from: Gguf.Metadata, tokens: Tokens, otherwise: boolean): Checked<Ends> =>
  Result.gen(function* () {
    const bos = yield* tokenId(from, keys.bos, tokens)
    const eos = yield* tokenId(from, keys.eos, tokens)
    const addBos = yield* Gguf.boolean(from, keys.addBos, otherwise && bos !== undefined)
    const addEos = yield* Gguf.boolean(from, keys.addEos, false)
    if (addBos && bos === undefined) {
      return yield* bad(from, keys.addBos, `is true: "${keys.bos}" is missing`)
    }
    if (addEos && eos === undefined) {
      return yield* bad(from, keys.addEos, `is true: "${keys.eos}" is missing`)
    }
    return { bos, eos, addBos, addEos }
  })

/** Reads which ids end a turn or a message of it. */
export const turns = (from: Gguf.Metadata, tokens: Tokens): Checked<ReadonlyArray<number>> =>
  Result.gen(function* () {
    const eot = yield* tokenId(from, keys.eot, tokens)
    const eom = yield* tokenId(from, keys.eom, tokens)
    return [eot, eom].filter((id) => id !== undefined)
  })

/** Ids of the control tokens that chat templates end a turn with. */
export const written = ({ tokens, types }: Tokens): ReadonlyArray<number> =>
  turnEnds.map((token) => tokens.lastIndexOf(token))
    .filter((id) => types[id] === kinds.control)
