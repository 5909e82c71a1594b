/**
 * Vocabularies of letters with a list of merges, as Gemma's `tokenizer.json` has them: of all pairs in a text the
 * one that comes first in the list merges.
 *
 * @module
 */
import { byteOf, lettersOf } from "./letters.ts"
import { type Coder, kinds, type Tokens, type Vocabulary } from "./vocabulary.ts"

/** How such a vocabulary reads and writes text. */
export const coder = (
  { merges, ...vocabulary }: Tokens & Pick<Vocabulary, "merges">,
): Coder => {
  const { tokens, types } = vocabulary
  const byteIds = new Map<number, number>()
  for (const [id, token] of tokens.entries()) {
    if (types[id] === kinds.byte) byteIds.set(byteOf(token)!, id)
  }
  // No piece of a text has a space in it, so one is enough to tell where a pair parts.
  const ranks = new Map(merges.map(([left, right], rank) => [`${left} ${right}`, rank]))
  return lettersOf(vocabulary, {
    byteIds,
    spacePrefix: false,
    worthOf: () => (piece, left) => {
      const rank = ranks.get(`${piece.slice(0, left)} ${piece.slice(left)}`)
      return rank === undefined ? undefined : -rank
    },
  })
}
