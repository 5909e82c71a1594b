/**
 * Vocabularies with scores (`tokenizer.ggml.model` is `llama`), as SentencePiece's BPE has them: neighbours
 * merge by the score of what they make.
 *
 * Not by ranks of pairs, as `byte_level` merges: two pairs that make one token have one score but two ranks, so
 * a list of merges cannot say "the leftmost"; and Gemma's 262,144 tokens have half a million pairs.
 *
 * @module
 */
import { Result } from "effect"
import type { BadModelFile } from "../../errors.ts"
import * as Gguf from "../Gguf.ts"
import { byteOf, lettersOf } from "./letters.ts"
import { bad, checkLength, type Coder, kinds, type Tokens } from "./vocabulary.ts"

const keys = {
  tokens: "tokenizer.ggml.tokens",
  scores: "tokenizer.ggml.scores",
  spacePrefix: "tokenizer.ggml.add_space_prefix",
} as const

const anyF32 = { min: -3.5e38, max: 3.5e38 }

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
    const scores = yield* Gguf.numbers(from, keys.scores, anyF32)
    yield* checkLength(from, keys.scores, scores, vocabulary.tokens)
    const byteIds = yield* readBytes(from, vocabulary)
    const spacePrefix = yield* Gguf.boolean(from, keys.spacePrefix, true)
    return lettersOf(vocabulary, {
      byteIds,
      spacePrefix,
      worthOf: (pieces) => (piece) => {
        const id = pieces.get(piece)
        return id === undefined ? undefined : scores[id]
      },
    })
  })
