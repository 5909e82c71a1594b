/** Page utilities: pages whose tables and lengths the caller keeps. @module */
import { Effect, Result } from "effect"
import {
  Attention,
  Interchange,
  PageAttention,
  Pages,
  PageUtilities,
  Program,
  Recording,
  Tensor,
} from "../../../mod.ts"
import { batch, capacity, type Model } from "../../arbitraries/views.ts"
import * as Shelf from "../shelf.ts"
import { givenRow, pack } from "../../../testing/world/storage.ts"
import {
  type Asked,
  attends,
  layoutOf,
  optionsOf,
  type Player,
  queriesOf,
  type Stage,
  whole,
} from "./player.ts"

/** What a caller of the utilities has. */
interface Held {
  readonly pages: Pages
  readonly lengths: ReadonlyArray<number>
}

/** Every sequence has its pages from the beginning, and its neighbours' lie between them. */
const tableOf = ({ arena, numPages }: Pages, sequence: number): ReadonlyArray<number> =>
  Array.from(
    { length: Math.ceil(capacity / arena.layout.blockSize) },
    (_, i) => numPages - 1 - batch * i - sequence,
  )

const everyone = Array.from({ length: batch }, (_, sequence) => sequence)

/** Keys and values of new tokens by turns. */
const combined = ({ shelf }: Stage, ids: ReadonlyArray<number>): PageUtilities.CombinedRows => {
  const { layout } = shelf.world.arena
  const { keyHeads: heads, keyDim: dim, dtype } = layout
  const data = ids.flatMap((id) => {
    const [keys, values] = [givenRow(layout, id, 0, "keys"), givenRow(layout, id, 0, "values")]
    return Array.from({ length: heads }, (_, h) => [
      ...keys.slice(h * dim, (h + 1) * dim),
      ...values.slice(h * dim, (h + 1) * dim),
    ]).flat()
  })
  const stored = dtype === "int8" ? "f32" : dtype
  const shape = [ids.length, 2 * heads, dim]
  return Recording.fresh(stored, "tokens combinedHeads headDim", shape, pack(stored, data))
}

const append = (stage: Stage, { pages, lengths }: Held, ids: Model): Held => {
  const { arena, numPages } = pages
  const pageSize = arena.layout.blockSize
  const queryLengths = ids.map(({ length }) => length)
  // What the rows are made of outlives the run: they are owed until somebody realises the pages.
  const newKv = Shelf.lasting(stage.shelf, Effect.sync(() => combined(stage, ids.flat())))
  const written = Result.gen(function* () {
    const { sliceIndices, totalUpdateSlices } = yield* PageUtilities.slotMappingToSlices({
      blockTables: everyone.map((sequence) => tableOf(pages, sequence)),
      cachedLengths: lengths,
      queryLengths,
      numPages,
      pageSize,
    })
    return yield* PageUtilities.kvCacheUpdate(newKv, sliceIndices, pages, totalUpdateSlices, {
      pageSize,
    })
  })
  return {
    pages: Result.getOrThrow(written),
    lengths: lengths.map((length, i) => length + queryLengths[i]!),
  }
}

/** A page is let go by `Pages`: the utilities only ever write. */
const free = ({ pages, lengths }: Held, sequence: number): Held => ({
  pages: Pages.clear(pages, tableOf(pages, sequence)),
  lengths: lengths.with(sequence, 0),
})

const rowsOf = ({ pages, lengths }: Held, { rows, counts }: Asked) =>
  rows.map((sequence, i) => ({
    blocks: tableOf(pages, sequence),
    contextLen: lengths[sequence]!,
    queryLen: counts[i]!,
  }))

/** What `pageAttention` is asked of one query each. It knows windows without sinks. */
const pageOptions = (stage: Stage, held: Held, asked: Asked): PageAttention.Options => {
  const { window: { last }, scale, softCap } = optionsOf(stage)
  const rows = rowsOf(held, asked).filter(({ queryLen }) => queryLen === 1)
  return {
    query: queriesOf(stage, asked.ids, "numSeqs numHeads headDim"),
    contextLens: rows.map(({ contextLen }) => contextLen),
    blockTables: rows.map(({ blocks }) => blocks),
    attnScale: scale,
    attnLogitsSoftCap: softCap,
    slidingWindow: last,
  }
}

const oneEach = (stage: Stage, _: Held, rows: ReadonlyArray<number>) =>
  rows.map(() => optionsOf(stage).window.sinks > 0 ? 0 : 1)

/** A pool as a tensor, `[pages, heads, slots, dim]`. */
const dense = ({ pages: { arena, numPages } }: Held, x: Tensor<"f32", string>) => {
  const { blockSize, keyHeads, keyDim } = arena.layout
  const axes = "pages slots heads dim" as const
  const pool = { ...x, axes, shape: [numPages, blockSize, keyHeads, keyDim] }
  return Tensor.permute(pool, "pages heads slots dim")
}

/** Sequences in pages. */
export const utilities: Player<Held> = {
  name: "PageUtilities",
  layout: (sizes) => layoutOf(sizes, { placement: "interleaved" }),
  empty: ({ shelf: { world: { arena } } }) => {
    const numPages = batch * Math.ceil(capacity / arena.layout.blockSize)
    return {
      pages: Result.getOrThrow(Pages.make(arena, numPages)),
      lengths: everyone.map(() => 0),
    }
  },
  append,
  // The caller counts less: what lies past it is written over by whoever comes next.
  truncate: (_, { pages, lengths }, sequence, { length }) => ({
    pages,
    lengths: lengths.with(sequence, length),
  }),
  free: (_, held, sequence) => free(held, sequence),
  insert: (stage, { pages, lengths }, sequence, ids) =>
    append(
      stage,
      { pages, lengths: lengths.with(sequence, 0) },
      everyone.map((i) => i === sequence ? ids : []),
    ),
  fork: ({ shelf }, { pages, lengths }, sequence, from, of) => {
    const length = from.lengths[of]!
    const row = { pages: from.pages, blocks: tableOf(pages, of), length }
    const made = Shelf.lasting(
      shelf,
      Effect.flatMap(
        Interchange.toCache(row),
        ({ value }) => Interchange.toPages(value, { pages, blocks: tableOf(pages, sequence) }),
      ),
    )
    return { pages: made.value, lengths: lengths.with(sequence, length) }
  },
  realize: ({ shelf }, { pages }) => Shelf.run(shelf, Program.run(Pages.realize(pages))),
  gather: (stage, { pages, lengths }) =>
    lengths.map((length, sequence) =>
      whole(stage, Pages.gather(pages, tableOf(pages, sequence), length))
    ),
  attention: [
    attends("Attention.attendPages", (stage, held, asked) => {
      const q = queriesOf(stage, asked.ids, "tokens numQHeads headDim")
      return Attention.attendPages(q, held.pages, rowsOf(held, asked), optionsOf(stage))
    }),
    attends(
      "PageAttention.pageAttention",
      (stage, held, asked) =>
        PageAttention.pageAttention({ ...pageOptions(stage, held, asked), pages: held.pages }),
      oneEach,
    ),
    attends(
      "PageAttention.pageAttention over tensors",
      (stage, held, asked) =>
        Effect.gen(function* () {
          const { keys, values } = yield* Pages.gatherAll(held.pages)
          const [keyPages, valuePages] = [yield* dense(held, keys), yield* dense(held, values)]
          return yield* PageAttention.pageAttention({
            ...pageOptions(stage, held, asked),
            keyPages,
            valuePages,
          })
        }),
      oneEach,
    ),
  ],
}
