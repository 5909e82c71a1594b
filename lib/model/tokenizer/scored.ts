/**
 * Vocabularies with scores (`tokenizer.ggml.model` is `llama`), as SentencePiece's BPE has them: a space is
 * written `▁`, neighbours merge by the score of what they make, and a letter without a token is the bytes
 * of its UTF-8, a token each.
 *
 * Not through `@huggingface/tokenizers`: its BPE merges by the ranks of pairs. Two pairs that make one
 * token have one score but two ranks, so a list of merges cannot say "the leftmost"; and Gemma's 262,144
 * tokens have half a million pairs, which take seconds and hundreds of megabytes to find and load.
 *
 * @module
 */
import { Result } from "effect"
import type { BadModelFile } from "../../errors.ts"
import * as Gguf from "../Gguf.ts"
import { cutter } from "./cut.ts"
import { merge } from "./merge.ts"
import * as utf8 from "./utf8.ts"
import {
  bad,
  checkLength,
  type Coder,
  kinds,
  literal,
  literalTokens,
  type Tokens,
} from "./vocabulary.ts"

const keys = {
  tokens: "tokenizer.ggml.tokens",
  scores: "tokenizer.ggml.scores",
  spacePrefix: "tokenizer.ggml.add_space_prefix",
} as const

const anyF32 = { min: -3.5e38, max: 3.5e38 }
const space = "▁"

/** The byte that a token like `<0x0A>` stands for. */
const byteOf = (token: string): number | undefined =>
  /^<0x[0-9A-F]{2}>$/i.test(token) ? parseInt(token.slice(3, 5), 16) : undefined

const readBytes = (
  from: Gguf.Metadata,
  { tokens, types }: Tokens,
): Result.Result<ReadonlyMap<number, number>, BadModelFile> => {
  const out = new Map<number, number>()
  for (const [id, token] of tokens.entries()) {
    if (types[id] !== kinds.byte) continue
    const byte = byteOf(token)
    if (byte === undefined) {
      const state = `has ${Gguf.quote(token)} as byte token ${id}: <0x00> to <0xFF> are needed`
      return bad(from, keys.tokens, state)
    }
    out.set(byte, id)
  }
  return Result.succeed(out)
}

/** Reads what a vocabulary with scores has besides its tokens. */
export const read = (
  from: Gguf.Metadata,
  vocabulary: Tokens,
): Result.Result<Coder, BadModelFile> =>
  Result.gen(function* () {
    const { tokens, types } = vocabulary
    const scores = yield* Gguf.numbers(from, keys.scores, anyF32)
    yield* checkLength(from, keys.scores, scores, tokens)
    const byteIds = yield* readBytes(from, vocabulary)
    const spacePrefix = yield* Gguf.boolean(from, keys.spacePrefix, true)
    const pieces = new Map<string, number>()
    for (const [id, token] of tokens.entries()) {
      if (!literal(types[id]) && types[id] !== kinds.byte) pieces.set(token, id)
    }
    const cut = cutter(literalTokens(vocabulary))
    const score = (piece: string) => {
      const id = pieces.get(piece)
      return id === undefined ? undefined : scores[id]
    }
    const idsOf = (piece: string): ReadonlyArray<number> => {
      const id = pieces.get(piece)
      if (id !== undefined) return [id]
      return [...utf8.encode(piece)].flatMap((byte) => byteIds.get(byte) ?? [])
    }
    return {
      addBos: true,
      ids: (text) =>
        cut(text).flatMap((part, i) => {
          if (typeof part === "number") return part
          const written = (spacePrefix && i === 0 ? " " : "") + part
          return merge(written.replaceAll(" ", space), score).flatMap(idsOf)
        }),
      bytes: (token, type) =>
        type === kinds.byte
          ? Uint8Array.of(byteOf(token)!)
          : utf8.encode(token.replaceAll(space, " ")),
      returns: (text) => {
        const kept = text.replaceAll(space, " ")
        return spacePrefix ? [kept, ` ${kept}`] : [kept]
      },
    }
  })
