/** `TransformerCache` of one layer: contiguous, or sliding. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import {
  type AttnMaskDetail,
  KvCache,
  Program,
  TransformerCache,
  TransformerCacheMetaData,
  TransformerCacheView,
} from "../../../mod.ts"
import { batch, capacity, type Model } from "../../arbitraries/views.ts"
import * as Shelf from "../shelf.ts"
import * as World from "../../../testing/world/world.ts"
import {
  type Asked,
  type Asking,
  layoutOf,
  numQHeadsOf,
  optionsOf,
  type Player,
  queriesOf,
  read,
  type Seen,
  type Stage,
} from "./player.ts"

/** A cache, and how many of each row's last tokens a layer that slides can still be asked of. */
interface Held {
  readonly cache: TransformerCache
  readonly askable: ReadonlyArray<number>
}

const metadataOf = ({ shelf }: Stage, batchSize: number): TransformerCacheMetaData => {
  const { keyHeads, valueHeads, keyDim, valueDim } = shelf.world.arena.layout
  return Result.getOrThrow(TransformerCacheMetaData.create({
    ...{ batchSize, keyHeads, valueHeads, keyDim, valueDim },
    sequenceLength: capacity,
    numHiddenLayers: 1,
    padTokenId: 0,
  }))
}

const viewOf = ({ cache }: Held): TransformerCacheView =>
  Result.getOrThrow(TransformerCache.at(cache, 0))

const cacheOf = (view: TransformerCacheView): TransformerCache =>
  Result.getOrThrow(
    Result.flatMap(TransformerCache.initEmpty(1), (cache) => TransformerCache.with(cache, 0, view)),
  )

/** A chunk of as many tokens for every row: those that are too many are padding. */
const append = (stage: Stage, view: TransformerCacheView, ids: Model): TransformerCacheView => {
  const { world } = stage.shelf
  const queryLengths = ids.map(({ length }) => length)
  const tokens = Math.max(...queryLengths)
  const padded = ids.flatMap((
    some,
  ) => [...some, ...new Array<number>(tokens - some.length).fill(7)])
  const { keys, values } = World.uploaded(world, padded)
  const shaped = (shape: ReadonlyArray<number>) => [ids.length, tokens, ...shape.slice(2)]
  const chunk: TransformerCacheView.Chunk = {
    key: { ...keys, axes: "batch tokens keyHeads keyDim", shape: shaped(keys.shape) },
    value: { ...values, axes: "batch tokens valueHeads valueDim", shape: shaped(values.shape) },
  }
  return Result.getOrThrow(
    TransformerCacheView.append(view, chunk, { postpadded: true, queryLengths }),
  )
}

/** Rows of a batch, dense, as `materialize` gives them. */
const gather = (stage: Stage, view: TransformerCacheView): ReadonlyArray<Seen> => {
  let positions: Int32Array = new Int32Array()
  const { keys, values } = read(
    stage,
    Effect.map(TransformerCacheView.materialize(view), (dense) => {
      positions = dense.positions
      return { keys: dense.keys, values: dense.values }
    }),
  )
  const room = positions.length / view.rows.length
  const { layout } = view.arena
  return view.rows.map(({ length }, i) => {
    const places = Array.from({ length: room }, (_, p) => i * room + p)
    const live = places.filter((place) => positions[place]! >= 0)
    const pick = (numbers: Float32Array, width: number) =>
      live.flatMap((place) => [...numbers.subarray(place * width, (place + 1) * width)])
    return {
      from: live.length === 0 ? length : positions[live[0]!]!,
      keys: pick(keys, layout.keyHeads * layout.keyDim),
      values: pick(values, layout.valueHeads * layout.valueDim),
    }
  })
}

/** Some rows of a batch, in any order, as a batch. */
const picked = (stage: Stage, view: TransformerCacheView, rows: ReadonlyArray<number>) =>
  Result.getOrThrow(
    TransformerCacheView.fromRows(
      rows.map((row) => Result.getOrThrow(TransformerCacheView.row(view, row))),
      {
        metadata: metadataOf(stage, rows.length),
        ...(view.maskingDetails && { maskingDetails: view.maskingDetails }),
      },
    ),
  )

/** Rows may have fewer queries than others: theirs end in padding, which sees nothing. */
const ask = (stage: Stage, held: Held, { rows, counts, ids }: Asked): Shelf.States => {
  const view = picked(stage, viewOf(held), rows)
  const tokens = Math.max(...counts)
  const even = counts.every((count) => count === tokens)
  const { window, ...rest } = optionsOf(stage)
  const options = {
    ...rest,
    ...(view.maskingDetails === undefined && { mask: { window } }),
    ...(!even && { cacheMetadata: { postpadded: true, queryLengths: counts } }),
  }
  let from = 0
  const padded = counts.flatMap((count) => [
    ...ids.slice(from, from += count),
    ...new Array<number>(tokens - count).fill(7),
  ])
  const { out, lse } = read(
    stage,
    Effect.suspend(() => {
      const before = [rows.length, tokens]
      const query = queriesOf(stage, padded, "batch tokens numQHeads headDim", before)
      return Effect.map(
        TransformerCacheView.attend(query, view, options),
        ({ out, lse }) => ({ out, lse }),
      )
    }),
  )
  const heads = numQHeadsOf(stage)
  const pick = (numbers: Float32Array, width: number) =>
    Float32Array.from(counts.flatMap((count, i) => {
      const at = i * tokens * width
      return [...numbers.subarray(at, at + count * width)]
    }))
  return { out: pick(out, heads * view.metadata.valueDim), lse: pick(lse, heads) }
}

/** A cache of one layer whose rows are as the detail says. */
const playerOf = (
  name: string,
  blockSize: number | undefined,
  detailOf: (stage: Stage) => AttnMaskDetail | undefined,
  counts: NonNullable<Asking<Held>["counts"]>,
): Player<Held> => {
  const emptyOf = (stage: Stage, batchSize: number): TransformerCacheView => {
    const maskingDetails = detailOf(stage)
    return Result.getOrThrow(TransformerCacheView.init(stage.shelf.world.arena, {
      metadata: metadataOf(stage, batchSize),
      ...(maskingDetails && { maskingDetails }),
    }))
  }
  const withRow = (
    { shelf }: Stage,
    { cache, askable }: Held,
    sequence: number,
    row: KvCache,
    fresh: number,
  ): Held => {
    const view = viewOf({ cache, askable })
    const { value } = Shelf.lasting(shelf, TransformerCacheView.withRow(view, sequence, row))
    return { cache: cacheOf(value), askable: askable.with(sequence, fresh) }
  }
  const insert: Player<Held>["insert"] = (stage, { cache, askable }, sequence, ids) => {
    const other = cacheOf(append(stage, emptyOf(stage, 1), [ids]))
    const made = Shelf.run(
      stage.shelf,
      Program.run(TransformerCache.insert(cache, other, sequence)),
    )
    return { cache: made, askable: askable.with(sequence, ids.length) }
  }
  return {
    name,
    layout: (sizes) => layoutOf(sizes, blockSize === undefined ? {} : { blockSize }),
    empty: (stage) => ({
      cache: cacheOf(emptyOf(stage, batch)),
      askable: Array.from({ length: batch }, () => 0),
    }),
    append: (stage, held, ids) => ({
      cache: cacheOf(append(stage, viewOf(held), ids)),
      askable: ids.map(({ length }) => length),
    }),
    // What a window has passed is gone, and a rollback that needs it is refused: the row is read anew.
    truncate: (stage, held, sequence, left) => {
      const { length } = Result.getOrThrow(TransformerCacheView.row(viewOf(held), sequence))
      if (length >= (detailOf(stage)?.size ?? Infinity)) return insert(stage, held, sequence, left)
      const cut = TransformerCache.insertIndex(held.cache, [left.length], sequence)
      const askable = held.askable.with(sequence, left.length)
      return { cache: Result.getOrThrow(cut), askable }
    },
    free: (stage, held, sequence) =>
      withRow(stage, held, sequence, KvCache.empty(stage.shelf.world.arena), 0),
    insert,
    fork: (stage, held, sequence, from, of) => {
      const row = Result.getOrThrow(TransformerCacheView.row(viewOf(from), of))
      return withRow(stage, held, sequence, row, from.askable[of]!)
    },
    realize: ({ shelf }, { cache }) =>
      Shelf.run(shelf, Program.run(KvCache.realize(TransformerCache.sequences(cache)))),
    gather: (stage, held) => {
      const seen = gather(stage, viewOf(held))
      for (const [i, { from }] of seen.entries()) {
        const { length } = viewOf(held).rows[i]!
        const size = detailOf(stage)?.size ?? Infinity
        assert.ok(from <= Math.max(0, length - size + 1), `${name} lost what its window sees`)
      }
      return seen
    },
    attention: [{ name: "TransformerCacheView.attend", counts, ask }],
  }
}

/** Rows in one piece each. */
export const contiguous: Player<Held> = playerOf(
  "TransformerCache",
  capacity,
  () => undefined,
  // Sinks are for queries that all stand at their row's end.
  ({ question }, _, __, wanted) =>
    question.window.sinks > 0 ? wanted.map(() => Math.min(...wanted)) : wanted,
)

/** Rows that let go of blocks as a window moves on. */
export const sliding: Player<Held> = playerOf(
  "TransformerCache that slides",
  undefined,
  ({ question }) => ({ maskType: "SLIDING", size: question.window.last! }),
  (_, { askable }, rows, wanted) => wanted.map((count, i) => Math.min(count, askable[rows[i]!]!)),
)
