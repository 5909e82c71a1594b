/** A paged cache over pages that are there already. @module */
import { HashMap, Result } from "effect"
import * as Pages from "../../cache/Pages.ts"
import { type DuplicateBlock, InvalidArgument } from "../../errors.ts"
import { wholeError } from "../whole.ts"
import { blocksOf, layoutError, over, ownerError, type PagedKvCache } from "./value.ts"

/** Which tokens lie where. */
export type Tables = Pick<PagedKvCache, "blockTable" | "seqLengths">

const tableError = ({ blockTable, seqLengths }: Tables): InvalidArgument | undefined => {
  const [batchSize, maxBlocksPerSeq] = [blockTable.length, blockTable[0]?.length ?? 0]
  const bad = wholeError({ batchSize, maxBlocksPerSeq }, 1)
  if (bad !== undefined) return bad
  const ragged = blockTable.findIndex((row) => row.length !== maxBlocksPerSeq)
  if (ragged >= 0) {
    const need = `${maxBlocksPerSeq}, as many as the first row has`
    const value = blockTable[ragged]!.length
    return new InvalidArgument({ name: `cells of blockTable[${ragged}]`, value, need })
  }
  if (seqLengths.length === batchSize) return
  const need = `${batchSize}, one for each row of the block table`
  return new InvalidArgument({ name: "the number of seqLengths", value: seqLengths.length, need })
}

/**
 * A view of these pages: shared, nothing is copied. Blocks of the tables lie in the pool, each belongs to one
 * sequence, −1 only follows them, and their pages hold the tokens that the lengths promise.
 * O(cells of the block table).
 */
export const fromPages = (
  pages: Pages.Pages,
  given: Tables,
): Result.Result<PagedKvCache, InvalidArgument | DuplicateBlock> =>
  Result.gen(function* () {
    // Copies, which have no holes and do not change with the caller's.
    const blockTable = Array.from(given.blockTable, (row) => Array.from(row))
    const seqLengths = Array.from(given.seqLengths)
    const bad = layoutError(pages.arena.layout) ?? tableError({ blockTable, seqLengths }) ??
      wholeError(Object.fromEntries(seqLengths.map((n, i) => [`seqLengths[${i}]`, n])), 0)
    if (bad !== undefined) return yield* Result.fail(bad)
    let owners: PagedKvCache["owners"] = HashMap.empty()
    for (const [sequence, row] of blockTable.entries()) {
      const blocks = blocksOf(row)
      for (const [i, block] of row.entries()) {
        const wrong = i < blocks.length
          ? Pages.pageError(pages, `blockTable[${sequence}][${i}]`, block) ??
            ownerError(owners, block)
          : block === -1
          ? undefined
          : new InvalidArgument({
            name: `blockTable[${sequence}][${i}]`,
            value: block,
            need: "−1, as a cell before it is",
          })
        if (wrong !== undefined) return yield* Result.fail(wrong)
        if (i < blocks.length) owners = HashMap.set(owners, block, sequence)
      }
      yield* Pages.pagesOf(pages, blocks, seqLengths[sequence]!)
    }
    return over(pages, blockTable, seqLengths, owners)
  })
