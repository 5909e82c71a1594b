/**
 * Vocabularies of letters: a space is written `▁`, neighbours merge as long as they make a token, and a letter
 * without a token is the bytes of its UTF-8, a token each.
 *
 * @module
 */
import { cutter } from "./cut.ts"
import { merge } from "./merge.ts"
import * as utf8 from "./utf8.ts"
import { type Coder, kinds, literal, literalTokens, type Tokens } from "./vocabulary.ts"

/** How such a vocabulary writes a space. */
export const space = "▁"

/** The byte that a token like `<0x0A>` stands for. */
export const byteOf = (token: string): number | undefined =>
  /^<0x[0-9A-F]{2}>$/i.test(token) ? parseInt(token.slice(3, 5), 16) : undefined

/** What sets one such vocabulary apart from another. */
export interface Letters {
  /** Ids by the byte they stand for. */
  readonly byteIds: ReadonlyMap<number, number>
  /** Whether a text begins with a space that is not in it. */
  readonly spacePrefix: boolean
  /** What it is worth to make a piece of two, the left one so long; undefined where they make none. */
  readonly worthOf: (
    pieces: ReadonlyMap<string, number>,
  ) => (piece: string, left: number) => number | undefined
}

/** How such a vocabulary reads and writes text. */
export const lettersOf = (
  vocabulary: Tokens,
  { byteIds, spacePrefix, worthOf }: Letters,
): Coder => {
  const { tokens, types } = vocabulary
  const pieces = new Map<string, number>()
  for (const [id, token] of tokens.entries()) {
    if (!literal(types[id]) && types[id] !== kinds.byte) pieces.set(token, id)
  }
  const cut = cutter(literalTokens(vocabulary))
  const worth = worthOf(pieces)
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
        const text = written.replaceAll(" ", space)
        const score = (left: number, right: number, end: number) =>
          worth(text.slice(left, end), right - left)
        return merge(text, score).flatMap(idsOf)
      }),
    write: (token, type, out, at) => {
      if (type !== kinds.byte) return utf8.write(token.replaceAll(space, " "), out, at)
      out[at] = byteOf(token)!
      return at + 1
    },
    returns: (text) => {
      const kept = text.replaceAll(space, " ")
      return spacePrefix ? [kept, ` ${kept}`] : [kept]
    },
  }
}
