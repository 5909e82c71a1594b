/**
 * Byte-level BPE (`tokenizer.ggml.model` is `gpt2`): a text is cut by expressions, its bytes are spelt as
 * letters, and pairs of them merge in the order of a list.
 *
 * Not through `@huggingface/tokenizers`, the reference in tests: what it makes of a vocabulary takes several times
 * the vocabulary's memory.
 *
 * @module
 */
import { Result } from "effect"
import { type BadModelFile, UnsupportedModel } from "../../errors.ts"
import * as Gguf from "../Gguf.ts"
import { type Cut, cutter } from "./cut.ts"
import { merge } from "./merge.ts"
import { type Pre, pres } from "./pre.ts"
import * as utf8 from "./utf8.ts"
import { bad, type Coder, literalTokens, type Tokens, type Vocabulary } from "./vocabulary.ts"

const keys = { pre: "tokenizer.ggml.pre", merges: "tokenizer.ggml.merges" } as const

/** Tokens by their text. */
type Known = ReadonlyMap<string, number>

/** Where a text is there twice, the literal one is meant, and then the last. */
const knownOf = (vocabulary: Tokens): Known => {
  const out = new Map<string, number>()
  vocabulary.tokens.forEach((token, id) => out.set(token, id))
  for (const [id, token] of literalTokens(vocabulary)) out.set(token, id)
  return out
}

/** The merges as the file has them, each checked: pairs of strings would take five times their memory. */
const readMerges = (
  from: Gguf.Metadata,
  known: Known,
): Result.Result<ReadonlyArray<string>, BadModelFile> =>
  Result.gen(function* () {
    const merges = yield* Gguf.strings(from, keys.merges)
    for (let i = 0; i < merges.length; i++) {
      const line = merges[i]!
      const refuse = (need: string) =>
        bad(from, keys.merges, `has ${Gguf.quote(line)} at ${i}: ${need}`)
      const space = line.indexOf(" ")
      if (space < 0 || line.indexOf(" ", space + 1) >= 0) {
        return yield* refuse("two words are needed")
      }
      const [left, right] = [line.slice(0, space), line.slice(space + 1)]
      if (!known.has(left) || !known.has(right) || !known.has(left + right)) {
        return yield* refuse("both words and the two joined must be tokens")
      }
    }
    return merges
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

/** JavaScript's `\s` is another set than Oniguruma's: it has U+FEFF, and lacks U+0085. */
const expression = (split: string): RegExp =>
  new RegExp(split.replace(/\\(s)/gi, (_, s) => `\\${s === "s" ? "p" : "P"}{White_Space}`), "gu")

/** A text cut into its matches and what lies between them. */
const isolated = (text: string, split: RegExp): ReadonlyArray<string> => {
  const parts: Array<string> = []
  let end = 0
  for (const { 0: match, index } of text.matchAll(split)) {
    parts.push(text.slice(end, index), match)
    end = index + match.length
  }
  parts.push(text.slice(end))
  return parts.filter((part) => part !== "")
}

/** Merges are two tokens with a space between, the first to merge first. */
const make = (vocabulary: Tokens, known: Known, pre: Pre, merges: Iterable<string>): Coder => {
  const cut = cutter(literalTokens(vocabulary))
  const splits = pre.splits.map(expression)
  const ranks = new Map<string, number>()
  let next = 0
  for (const merge of merges) ranks.set(merge, next++)

  const idsOf = (part: string): ReadonlyArray<number> => {
    const word = utf8.spell(part)
    const whole = pre.ignoreMerges ? known.get(word) : undefined
    if (whole !== undefined) return [whole]
    const score = (left: number, right: number, end: number) => {
      const rank = ranks.get(`${word.slice(left, right)} ${word.slice(right, end)}`)
      return rank === undefined ? undefined : -rank
    }
    return merge(word, score).flatMap((piece) => known.get(piece) ?? [])
  }
  return {
    addBos: pre.addBos,
    ids: (text) =>
      cut(text).flatMap((part) => {
        if (typeof part === "number") return part
        let parts: ReadonlyArray<string> = [pre.composes ? part.normalize("NFC") : part]
        for (const split of splits) parts = parts.flatMap((part) => isolated(part, split))
        return parts.flatMap(idsOf)
      }),
    write: (token, _, out, at) => utf8.unspell(token, out, at),
    returns: (text) => [pre.composes ? composed(cut(text), vocabulary) : text],
  }
}

/** One at a time: only what is made of them stays. */
function* joined({ merges }: Pick<Vocabulary, "merges">): Generator<string> {
  for (const [left, right] of merges) yield `${left} ${right}`
}

/** How a byte-level vocabulary reads and writes text. */
export const coder = (
  vocabulary: Tokens & Pick<Vocabulary, "merges"> & { readonly pre: Pre },
): Coder => make(vocabulary, knownOf(vocabulary), vocabulary.pre, joined(vocabulary))

/** Reads what a byte-level vocabulary has besides its tokens. */
export const read = (
  from: Gguf.Metadata,
  tokens: Tokens,
): Result.Result<Coder, BadModelFile | UnsupportedModel> =>
  Result.gen(function* () {
    const pre = yield* readPre(from)
    const known = knownOf(tokens)
    return make(tokens, known, pre, yield* readMerges(from, known))
  })
