/**
 * Byte-level BPE (`tokenizer.ggml.model` is `gpt2`): a text is cut by expressions, its bytes are spelt as
 * letters, and pairs of them merge in the order of a list. Through `@huggingface/tokenizers`.
 *
 * @module
 */
import { Tokenizer as Encoder } from "@huggingface/tokenizers"
import { Result } from "effect"
import { type BadModelFile, UnsupportedModel } from "../../errors.ts"
import * as Gguf from "../Gguf.ts"
import { type Cut, cutter } from "./cut.ts"
import { type Pre, pres } from "./pre.ts"
import * as utf8 from "./utf8.ts"
import { bad, type Coder, literalTokens, type Tokens, type Vocabulary } from "./vocabulary.ts"

const keys = { pre: "tokenizer.ggml.pre", merges: "tokenizer.ggml.merges" } as const

type Merges = Vocabulary["merges"]

const readMerges = (
  from: Gguf.Metadata,
  { tokens }: Tokens,
): Result.Result<Merges, BadModelFile> =>
  Result.gen(function* () {
    const known = new Set(tokens)
    const out: Array<readonly [string, string]> = []
    for (const [i, line] of (yield* Gguf.strings(from, keys.merges)).entries()) {
      const [left, right, ...rest] = line.split(" ")
      const at = `has ${Gguf.quote(line)} at ${i}`
      if (left === undefined || right === undefined || rest.length > 0) {
        return yield* bad(from, keys.merges, `${at}: two words are needed`)
      }
      if (!known.has(left) || !known.has(right) || !known.has(left + right)) {
        const need = "both words and the two joined must be tokens"
        return yield* bad(from, keys.merges, `${at}: ${need}`)
      }
      out.push([left, right])
    }
    return out
  })

const readPre = (from: Gguf.Metadata): Result.Result<Pre, BadModelFile | UnsupportedModel> =>
  Result.flatMap(Gguf.string(from, keys.pre, "default"), (name) => {
    const pre = pres.get(name)
    if (pre !== undefined) return Result.succeed(pre)
    const supported = [...pres.keys()].map((known) => `"${known}"`).join(", ").replace(
      /, (?="[^,]*$)/,
      " or ",
    )
    return Result.fail(
      new UnsupportedModel({ what: "pre-tokenizer", value: Gguf.quote(name), supported }),
    )
  })

/** A text whose parts between literal tokens are composed. */
const composed = (parts: ReturnType<Cut>, { tokens }: Tokens): string =>
  parts.map((part) => typeof part === "number" ? tokens[part]! : part.normalize("NFC")).join("")

/** How a byte-level vocabulary reads and writes text. */
export const coder = (
  { merges, pre, ...vocabulary }: Tokens & Pick<Vocabulary, "merges"> & { readonly pre: Pre },
): Coder => {
  const cut = cutter(literalTokens(vocabulary))
  const split = (Regex: string) => ({ type: "Split", pattern: { Regex }, behavior: "Isolated" })
  const encoder = new Encoder({
    added_tokens: literalTokens(vocabulary).map(([id, content]) => ({
      id,
      content,
      special: true,
      normalized: false,
    })),
    normalizer: pre.composes ? { type: "NFC" } : null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [...pre.splits.map(split), { type: "ByteLevel", use_regex: false }],
    },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(vocabulary.tokens.map((token, id) => [token, id])),
      merges,
      ignore_merges: pre.ignoreMerges,
    },
    post_processor: null,
    decoder: null,
  }, {})
  return {
    addBos: pre.addBos,
    ids: (text) => encoder.encode(text, { add_special_tokens: false }).ids,
    bytes: utf8.unspell,
    returns: (text) => [pre.composes ? composed(cut(text), vocabulary) : text],
  }
}

/** Reads what a byte-level vocabulary has besides its tokens. */
export const read = (
  from: Gguf.Metadata,
  tokens: Tokens,
): Result.Result<Coder, BadModelFile | UnsupportedModel> =>
  Result.gen(function* () {
    const pre = yield* readPre(from)
    return coder({ ...tokens, pre, merges: yield* readMerges(from, tokens) })
  })
