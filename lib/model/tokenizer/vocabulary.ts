/**
 * The vocabulary of a GGUF file, checked: what every kind of it has.
 *
 * @module
 */
import { Result } from "effect"
import { BadModelFile } from "../../errors.ts"
import * as Gguf from "../Gguf.ts"

/** Tokens, and what each of them is. */
export interface Vocabulary {
  /** As stored, by id. */
  readonly tokens: ReadonlyArray<string>
  /** What each token is, `[vocabSize]`: one of `kinds`, or anything else for a normal one. */
  readonly types: ArrayLike<number>
}

/** How a kind of vocabulary reads and writes text. */
export interface Coder {
  /** Whether BOS comes first when the file does not say. */
  readonly addBos: boolean
  /** The ids of a text, without checks. */
  readonly ids: (text: string) => ReadonlyArray<number>
  /** The bytes of a token that is not `literal`. */
  readonly bytes: (token: string, type: number | undefined) => Uint8Array
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
  /** Every id that ends an answer. */
  readonly stops: ReadonlySet<number>
}

/** The token types that matter here. */
export const kinds = { unknown: 2, control: 3, userDefined: 4, byte: 6 } as const

/** Whether a token is found as written in a text, before all else; its text is itself. */
export const literal = (type: number | undefined): boolean =>
  type === kinds.unknown || type === kinds.control || type === kinds.userDefined

/** The literal tokens, with their ids. */
export const literals = (
  { tokens, types }: Vocabulary,
): ReadonlyArray<readonly [id: number, text: string]> =>
  tokens.flatMap((text, id) => literal(types[id]) && text !== "" ? [[id, text] as const] : [])

// A longer one, or more, would make finding them in a text slow and large.
const literalLength = 1024
const literalLengths = 2 ** 20

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

/** What ends a turn where a file does not say: the control tokens that chat templates write. */
const turnEnds: ReadonlySet<string> = new Set(["<|im_end|>", "<end_of_turn>", "<|eot_id|>"])

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

const checkLiterals = (from: Gguf.Metadata, vocabulary: Vocabulary): Checked<void> => {
  let total = 0
  for (const [id, token] of literals(vocabulary)) {
    total += token.length
    if (token.length > literalLength || total > literalLengths) {
      const most = `at most ${literalLength} in one and ${literalLengths} in all are read`
      const state = `has ${token.length} characters in special token ${id}: ${most}`
      return bad(from, keys.tokens, state)
    }
  }
  return Result.succeed(undefined)
}

/** Reads the tokens of a file. */
export const read = (from: Gguf.Metadata): Checked<Vocabulary> =>
  Result.gen(function* () {
    const tokens = yield* Gguf.strings(from, keys.tokens)
    if (tokens.length === 0) return yield* bad(from, keys.tokens, "is empty")
    const normal = tokens.map(() => 1)
    const types = yield* Gguf.numbers(from, keys.types, { min: 0, max: 6 }, normal)
    yield* checkLength(from, keys.types, types, tokens)
    yield* checkLiterals(from, { tokens, types })
    return { tokens, types }
  })

/** Reads which ids begin and end a text; `addBos` is for a file that does not say. */
export const ends = (
  from: Gguf.Metadata,
  { tokens, types }: Vocabulary,
  otherwise: boolean,
): Checked<Ends> =>
  Result.gen(function* () {
    const id = (key: string): Checked<number | undefined> =>
      from.metadata.has(key)
        ? Gguf.integer(from, key, { min: 0, max: tokens.length - 1 })
        : Result.succeed(undefined)
    const bos = yield* id(keys.bos)
    const eos = yield* id(keys.eos)
    const addBos = yield* Gguf.boolean(from, keys.addBos, otherwise && bos !== undefined)
    const addEos = yield* Gguf.boolean(from, keys.addEos, false)
    if (addBos && bos === undefined) {
      return yield* bad(from, keys.addBos, `is true: "${keys.bos}" is missing`)
    }
    if (addEos && eos === undefined) {
      return yield* bad(from, keys.addEos, `is true: "${keys.eos}" is missing`)
    }
    const named = [eos, yield* id(keys.eot), yield* id(keys.eom)].filter((one) => one !== undefined)
    const written = tokens.keys().filter((id) =>
      types[id] === kinds.control && turnEnds.has(tokens[id]!)
    )
    return { bos, eos, addBos, addEos, stops: new Set([...named, ...written]) }
  })
