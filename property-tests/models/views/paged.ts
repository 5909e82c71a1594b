/** `PagedKvCache`: sequences in the blocks of one pool. @module */
import { Effect, Result } from "effect"
import { Interchange, type KvCache, PagedKvCache, Program, Tensor } from "../../../mod.ts"
import { batch, capacity } from "../../arbitraries/views.ts"
import * as Shelf from "../shelf.ts"
import * as World from "../../../testing/world/world.ts"
import {
  attends,
  layoutOf,
  optionsOf,
  type Player,
  queriesOf,
  read as tensors,
  type Stage,
  whole,
} from "./player.ts"

/** New rows as this view takes them. */
const rowsOf = ({ shelf: { world } }: Stage, ids: ReadonlyArray<number>) => {
  const { keys, values } = World.uploaded(world, ids)
  const as = (
    { shape, ...x }: KvCache.Rows["keys"] | KvCache.Rows["values"],
  ): PagedKvCache.NewRows => ({
    ...x,
    axes: "tokens numKvHeads headDim",
    shape: shape.slice(1),
  })
  return [as(keys), as(values)] as const
}

/** Room first, then the rows. */
const append = (stage: Stage, cache: PagedKvCache, sequence: number, ids: ReadonlyArray<number>) =>
  Result.getOrThrow(Result.gen(function* () {
    const given = { sequence, numTokens: ids.length }
    const { cache: roomy } = yield* PagedKvCache.allocateBlocks(cache, given)
    const options = { quantize: stage.shelf.world.arena.layout.dtype === "int8" }
    return yield* PagedKvCache.appendKv(roomy, sequence, ...rowsOf(stage, ids), options)
  }))

const free = (cache: PagedKvCache, sequence: number) =>
  Result.getOrThrow(PagedKvCache.freeSequence(cache, sequence)).cache

/** A mask that is left out hides nothing, not even later tokens. */
const read = (stage: Stage) => {
  const { window, ...rest } = optionsOf(stage)
  return { ...rest, mask: { window } }
}

const alone = (
  stage: Stage,
  cache: PagedKvCache,
  sequence: number,
  ids: ReadonlyArray<number>,
): Shelf.States =>
  tensors(
    stage,
    Effect.gen(function* () {
      const own = queriesOf(stage, ids, "tokens numQHeads headDim")
      const query = yield* Tensor.permute(own, "numQHeads tokens headDim")
      const { out, lse } = yield* PagedKvCache.pagedAttention(query, cache, sequence, read(stage))
      return {
        out: yield* Tensor.permute(out, "tokens numQHeads headDim"),
        lse: yield* Tensor.permute(lse, "tokens numQHeads"),
      }
    }),
  )

/** Sequences in a pool. */
export const paged: Player<PagedKvCache> = {
  name: "PagedKvCache",
  layout: (sizes) => layoutOf(sizes),
  empty: ({ shelf: { world: { arena } } }) => {
    const maxBlocksPerSeq = Math.ceil(capacity / arena.layout.blockSize)
    const sizes = { batchSize: batch, maxBlocksPerSeq, numBlocks: batch * maxBlocksPerSeq }
    return Result.getOrThrow(PagedKvCache.of(arena, sizes))
  },
  append: (stage, cache, ids) =>
    ids.reduce((next, some, sequence) => append(stage, next, sequence, some), cache),
  truncate: (_, cache, sequence, { length }) =>
    Result.getOrThrow(PagedKvCache.truncate(cache, sequence, length)).cache,
  free: (_, cache, sequence) => free(cache, sequence),
  insert: (stage, cache, sequence, ids) => append(stage, free(cache, sequence), sequence, ids),
  // A block has one sequence, so a fork of one is by way of a cache: the memory is shared.
  fork: ({ shelf }, cache, sequence, from, of) =>
    Shelf.lasting(
      shelf,
      Effect.gen(function* () {
        const row = yield* Effect.fromResult(PagedKvCache.row(from, of))
        const { value } = yield* Interchange.toCache(row)
        return (yield* PagedKvCache.withRow(cache, sequence, value)).value
      }),
    ),
  realize: ({ shelf }, cache) => Shelf.run(shelf, Program.run(PagedKvCache.realize(cache))),
  gather: (stage, cache) =>
    cache.seqLengths.map((_, sequence) =>
      whole(
        stage,
        Effect.map(
          PagedKvCache.gatherKv(cache, sequence),
          ({ keys, values }) => ({ keys, values }),
        ),
      )
    ),
  attention: [
    attends("PagedKvCache.pagedAttentionBatch", (stage, cache, { rows, counts, ids }) => {
      const asked = rows.map((sequence, i) => ({ sequence, queryLen: counts[i]! }))
      const query = queriesOf(stage, ids, "tokens numQHeads headDim")
      return PagedKvCache.pagedAttentionBatch(query, cache, asked, read(stage))
    }),
    {
      name: "PagedKvCache.pagedAttention",
      // Its queries are of one sequence, heads first: a batch of them is as many calls.
      ask: (stage, cache, { rows, counts, ids }) => {
        let from = 0
        const states = rows.map((sequence, i) => {
          const own = ids.slice(from, from += counts[i]!)
          return alone(stage, cache, sequence, own)
        })
        return {
          out: Float32Array.from(states.flatMap(({ out }) => [...out])),
          lse: Float32Array.from(states.flatMap(({ lse }) => [...lse])),
        }
      },
    },
  ],
}
