/** Which block belongs to which sequence: pure, and no memory is touched. @module */
import { HashMap, Result } from "effect"
import * as Pages from "../../cache/Pages.ts"
import { truncate as cut } from "../../cache/write.ts"
import {
  BlockTableFull,
  DuplicateBlock,
  InvalidArgument,
  OutOfBlocks,
  type UnknownSequence,
} from "../../errors.ts"
import { smallest } from "../../tensor/numbers.ts"
import { isWhole, wholeError } from "../whole.ts"
import { blocksOf, ownerError, type PagedKvCache, sequenceError, update } from "./value.ts"

/** Which sequence gets room, for how many tokens, and from which blocks. */
export interface Allocation {
  readonly sequence: number
  /** Tokens about to be appended, after those that the sequence holds. */
  readonly numTokens: number
  /**
   * Blocks to take, from the front, as many as are needed; the others are not looked at. Default: the lowest
   * blocks that belong to no sequence.
   */
  readonly freeBlockIds?: ArrayLike<number>
}

/** The next cache, and how many blocks it took. */
export interface Allocated {
  readonly cache: PagedKvCache
  readonly consumed: number
}

/** What `allocateBlocks` may fail with. */
export type AllocateError =
  | UnknownSequence
  | InvalidArgument
  | BlockTableFull
  | OutOfBlocks
  | DuplicateBlock

/** The first `count` of the caller's ids. */
const offered = (
  { owners, numBlocks }: PagedKvCache,
  ids: ArrayLike<number>,
  count: number,
): Result.Result<ReadonlyArray<number>, InvalidArgument | OutOfBlocks | DuplicateBlock> => {
  if (ids.length < count) {
    const remedy = "offer more ids or free a sequence"
    return Result.fail(
      new OutOfBlocks({ group: 0, needed: count, free: ids.length, total: numBlocks, remedy }),
    )
  }
  const taken = new Map<number, number>()
  for (let i = 0; i < count; i++) {
    const block = ids[i]!
    if (!isWhole(block, 0) || block >= numBlocks) {
      const need = `a block from 0 to ${numBlocks - 1}`
      return Result.fail(new InvalidArgument({ name: `freeBlockIds[${i}]`, value: block, need }))
    }
    const earlier = taken.get(block)
    const bad = earlier === undefined
      ? ownerError(owners, block)
      : new DuplicateBlock({ block, owner: `freeBlockIds[${earlier}]` })
    if (bad !== undefined) return Result.fail(bad)
    taken.set(block, i)
  }
  return Result.succeed([...taken.keys()])
}

/** The `count` lowest blocks that belong to no sequence. */
const lowestFree = (
  { owners, numBlocks, lowest }: PagedKvCache,
  count: number,
): Result.Result<ReadonlyArray<number>, OutOfBlocks> => {
  const free = numBlocks - HashMap.size(owners)
  if (free < count) {
    const remedy = "free a sequence or make a larger cache"
    return Result.fail(
      new OutOfBlocks({ group: 0, needed: count, free, total: numBlocks, remedy }),
    )
  }
  const found: Array<number> = []
  for (let block = lowest; found.length < count; block++) {
    if (!HashMap.has(owners, block)) found.push(block)
  }
  return Result.succeed(found)
}

/**
 * Gives a sequence the blocks that it lacks for `numTokens` more tokens. The count is from the tokens it holds: so
 * asking again before they are appended takes only what is missing, and loses none. A block that is given holds
 * nothing, whatever lay there before.
 *
 * - fails with `UnknownSequence`, `InvalidArgument` (counts, ids outside the pool), `BlockTableFull`, `OutOfBlocks`
 *   (too few ids, or too few blocks) or `DuplicateBlock` (an id offered twice, or of some sequence)
 * - O(batchSize + maxBlocksPerSeq) numbers on the host, and the blocks that are taken
 *
 * Source: attnax, `allocate_blocks`.
 */
export const allocateBlocks = (
  cache: PagedKvCache,
  { sequence, numTokens, freeBlockIds }: Allocation,
): Result.Result<Allocated, AllocateError> =>
  Result.gen(function* () {
    const bad = sequenceError(cache, sequence) ?? wholeError({ numTokens }, 0)
    if (bad !== undefined) return yield* Result.fail(bad)
    const { blockSize, blockTable, maxBlocksPerSeq, pages, seqLengths } = cache
    const has = blocksOf(blockTable[sequence]!)
    const needed = Math.ceil((seqLengths[sequence]! + numTokens) / blockSize)
    if (needed > maxBlocksPerSeq) {
      return yield* Result.fail(
        new BlockTableFull({ sequence, needed, maxBlocks: maxBlocksPerSeq }),
      )
    }
    const count = Math.max(0, needed - has.length)
    const ids = freeBlockIds === undefined
      ? yield* lowestFree(cache, count)
      : yield* offered(cache, freeBlockIds, count)
    if (count === 0) return { cache, consumed: 0 }
    const row = [...has, ...ids, ...blockTable[sequence]!.slice(needed)]
    const next = update(cache, {
      pages: Pages.clear(pages, ids),
      blockTable: blockTable.with(sequence, row),
      owners: HashMap.setMany(cache.owners, ids.map((block) => [block, sequence] as const)),
      lowest: freeBlockIds === undefined ? ids.at(-1)! + 1 : cache.lowest,
    })
    return { cache: next, consumed: count }
  })

/** The next cache, and the blocks that belong to nobody any more. */
export interface Released {
  readonly cache: PagedKvCache
  /** In the order of the sequence: what a caller who keeps a list of free ids adds to it. */
  readonly freed: ReadonlyArray<number>
}

/**
 * The cache whose sequence holds its first `length` tokens only, and only the blocks these lie in: what was
 * allocated past them is free again. Older values stay readable. O(batchSize + maxBlocksPerSeq).
 */
export const truncate = (
  cache: PagedKvCache,
  sequence: number,
  length: number,
): Result.Result<Released, UnknownSequence | InvalidArgument> =>
  Result.gen(function* () {
    const bad = sequenceError(cache, sequence)
    if (bad !== undefined) return yield* Result.fail(bad)
    const { blockSize, blockTable, maxBlocksPerSeq, seqLengths } = cache
    const most = seqLengths[sequence]!
    if (!isWhole(length, 0) || length > most) {
      const need = `a whole number from 0 to ${most}, the tokens of the sequence`
      return yield* Result.fail(new InvalidArgument({ name: "length", value: length, need }))
    }
    const has = blocksOf(blockTable[sequence]!)
    const kept = has.slice(0, Math.ceil(length / blockSize))
    const freed = has.slice(kept.length)
    let pages = Pages.clear(cache.pages, freed)
    if (kept.length > 0 && length < most) {
      const [last, used] = [kept.at(-1)!, length - (kept.length - 1) * blockSize]
      pages = Pages.set(pages, last, yield* cut(Pages.at(pages, last), used))
    }
    const row = [...kept, ...new Array<number>(maxBlocksPerSeq - kept.length).fill(-1)]
    const next = update(cache, {
      pages,
      blockTable: blockTable.with(sequence, row),
      seqLengths: seqLengths.with(sequence, length),
      owners: HashMap.removeMany(cache.owners, freed),
      lowest: smallest(freed, cache.lowest),
    })
    return { cache: next, freed }
  })

/** The cache whose sequence holds nothing; its blocks are free again. Older values stay readable. */
export const freeSequence = (
  cache: PagedKvCache,
  sequence: number,
): Result.Result<Released, UnknownSequence> =>
  // 0 is a length of every sequence.
  truncate(cache, sequence, 0) as Result.Result<Released, UnknownSequence>
