/** `ContinuousBatchingKvCacheCollection`: each sequence in a block of its own. @module */
import { Effect, Result } from "effect"
import {
  ContinuousBatchingKvCache as View,
  ContinuousBatchingKvCacheCollection as Collection,
  Interchange,
  type KvCache,
  type Layout,
  Pages,
  Program,
} from "../../../mod.ts"
import { batch, capacity } from "../../arbitraries/views.ts"
import { viewOf } from "../batching.ts"
import * as Shelf from "../shelf.ts"
import * as World from "../../../testing/world/world.ts"
import { attends, layoutOf, optionsOf, type Player, queriesOf, read, type Stage } from "./player.ts"

type Made = Collection.ContinuousBatchingKvCacheCollection

/** Some rows of a batch, in any order, as a batch. */
const picked = ({ pages, lookupTable, cacheLengths }: Made, rows: ReadonlyArray<number>): Made =>
  Result.getOrThrow(Collection.of(pages, {
    lookupTable: rows.map((row) => lookupTable[row]!),
    cacheLengths: rows.map((row) => cacheLengths[row]!),
  }))

/** A batch is other lengths of the same blocks: what lies past them is let go by the next append. */
const shorter = ({ pages, lookupTable, cacheLengths }: Made, sequence: number, length: number) =>
  Result.getOrThrow(
    Collection.of(pages, { lookupTable, cacheLengths: cacheLengths.with(sequence, length) }),
  )

const withRow = ({ shelf }: Stage, made: Made, sequence: number, cache: KvCache): Made =>
  Shelf.lasting(shelf, Collection.withRow(made, sequence, cache)).value

/** Tokens of a row in all layers: its block may hold more, of a sequence that was cut. */
const half = (stage: Stage, made: Made, kind: Layout.Kind, sequence: number) => {
  const { numHeads, headSize } = made.kvParams
  return Array.from({ length: made.numLayers }, (_, layer) => {
    const view = viewOf(made, layer, kind)
    const { got } = read(stage, Effect.map(View.sequence(view, sequence), (got) => ({ got })))
    return [...got.subarray(0, made.cacheLengths[sequence]! * numHeads * headSize)]
  }).flat()
}

/** Sequences in a fused buffer. */
export const batching: Player<Made> = {
  name: "ContinuousBatchingKvCacheCollection",
  layout: (sizes) =>
    layoutOf(sizes, { placement: "fused", blockSize: capacity, layers: sizes.layers }),
  empty: ({ shelf: { world } }) => {
    const pages = Result.getOrThrow(Pages.make(world.arena, batch + 1))
    const lookupTable = Array.from({ length: batch }, (_, row) => batch - row)
    return Result.getOrThrow(
      Collection.of(pages, { lookupTable, cacheLengths: lookupTable.map(() => 0) }),
    )
  },
  append: ({ shelf }, made, ids) =>
    Result.getOrThrow(
      Collection.append(
        made,
        World.uploaded(shelf.world, ids.flat()),
        ids.map(({ length }) => length),
      ),
    ),
  truncate: (_, made, sequence, { length }) => shorter(made, sequence, length),
  free: (_, made, sequence) => shorter(made, sequence, 0),
  insert: (stage, made, sequence, ids) =>
    withRow(stage, made, sequence, Shelf.cacheOf(stage.shelf, ids)),
  fork: (stage, made, sequence, from, of) => {
    const row = Result.getOrThrow(Collection.row(from, of))
    const { value } = Shelf.lasting(stage.shelf, Interchange.toCache(row))
    return withRow(stage, made, sequence, value)
  },
  realize: ({ shelf }, { pages }) => Shelf.run(shelf, Program.run(Pages.realize(pages))),
  gather: (stage, made) =>
    made.lookupTable.map((_, sequence) => ({
      from: 0,
      keys: half(stage, made, "keys", sequence),
      values: half(stage, made, "values", sequence),
    })),
  attention: [
    attends("ContinuousBatchingKvCacheCollection.attend", (stage, made, asked) => {
      const { rows, counts, ids, layer } = asked
      const q = queriesOf(stage, ids, "tokens numQHeads headDim")
      return Collection.attend(picked(made, rows), layer, q, counts, optionsOf(stage))
    }),
    attends("ContinuousBatchingKvCache.attend", (stage, made, asked) => {
      const { rows, counts: queryLengths, ids, layer } = asked
      const query = queriesOf(stage, ids, "tokens numQHeads headDim")
      const some = picked(made, rows)
      const [keys, values] = [viewOf(some, layer, "keys"), viewOf(some, layer, "values")]
      return View.attend({ query, queryLengths, keys, values, ...optionsOf(stage) })
    }),
  ],
}
