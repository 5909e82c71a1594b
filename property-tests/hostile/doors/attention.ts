/** Attention over caches, pages and plain arrays, its masks and its states, before a hostile caller. @module */
import { Effect, Result } from "effect"
import {
  Arena,
  Attention,
  AttentionState,
  KvCache,
  Layout,
  Lease,
  PageAttention,
  Pages,
  type Tensor,
  Window,
} from "../../../mod.ts"
import { type Door, door, type Plan } from "../door.ts"
import { floats, placed, readCaches, tensor } from "./values.ts"

const read = { layer: 1, scale: 0.5, softCap: 2 }
/** Not all at once: some of them exclude others. */
const masks: ReadonlyArray<Attention.Mask> = [
  { window: { last: 3, sinks: 1 }, starts: [0, 1] },
  { chunk: 4, chunkOffset: 1, starts: [0, 0] },
  { segments: [[0, 0, 1, 1, 1, 1], [0, 0, 0, -1]] },
  { causal: false, positions: [[4, 5], [-1]] },
]

const over = (x: KvCache, y: KvCache): ReadonlyArray<Door> => [
  ...masks.map((mask, i) =>
    door(
      `Attention.prefill ${i}`,
      (counts: ReadonlyArray<number>, options: Attention.ReadOptions) =>
        Attention.prefill(tensor("tokens numQHeads headDim", 3, 2, 4), [x, y], counts, options),
      (): [ReadonlyArray<number>, Attention.ReadOptions] => [[2, 1], {
        ...read,
        ...structuredClone(mask),
      }],
    )
  ),
  door(
    "Attention.decode",
    (options: Attention.ReadOptions) =>
      Attention.decode(tensor("batch numQHeads headDim", 2, 2, 4), [x, y], options),
    (): [Attention.ReadOptions] => [{ ...read, window: { last: 3, sinks: 0 } }],
  ),
]

const paged = (pages: Pages.Pages): ReadonlyArray<Door> => [
  door(
    "Attention.attendPages",
    (rows: ReadonlyArray<Attention.PagedRow>, options: Attention.ReadOptions) =>
      Attention.attendPages(tensor("tokens numQHeads headDim", 3, 2, 4), pages, rows, options),
    () => [
      [{ blocks: [1, 2], contextLen: 6, queryLen: 2 }, { blocks: [2], contextLen: 2, queryLen: 1 }],
      { ...read, starts: [0, 1] },
    ],
  ),
  ...[{ pages, layer: 1 }, {
    keyPages: tensor("pages heads slots dim", 3, 1, 4, 4),
    valuePages: tensor("pages heads slots dim", 3, 1, 4, 4),
  }].map((where, i) =>
    door(
      `PageAttention.pageAttention ${i}`,
      (options: Omit<PageAttention.Options, "query">) =>
        PageAttention.pageAttention(
          {
            query: tensor("numSeqs numHeads headDim", 2, 2, 4),
            ...where,
            ...options,
          } as PageAttention.Options & PageAttention.PooledPages,
        ),
      () => [{
        contextLens: [6, 2],
        blockTables: [[1, 2, -1], [2, -1, -1]],
        attnScale: 1,
        maxContextLen: 8,
        numSplits: 2,
        maskValue: -100,
        attnLogitsSoftCap: 3,
        pagesPerComputeBlock: 1,
        slidingWindow: 3,
      }],
    )
  ),
  door("PageAttention.pageAttention's layer", (layer: number) =>
    PageAttention.pageAttention({
      query: tensor("numSeqs numHeads headDim", 1, 2, 4),
      contextLens: [6],
      blockTables: [[1, 2]],
      pages,
      layer,
    }), () => [1]),
]

const plain: ReadonlyArray<Door> = [
  door(
    "Attention.dense",
    Attention.dense,
    () => [
      {
        q: new Array(8).fill(0.5),
        k: new Array(12).fill(0.25),
        v: new Array(12).fill(1),
        queryLen: 2,
        contextLen: 3,
        numQHeads: 1,
        keyHeads: 1,
        valueHeads: 1,
        keyDim: 4,
        valueDim: 4,
      },
      {
        window: { last: 2, sinks: 1 },
        scale: 0.5,
        softCap: 3,
        chunk: 2,
        chunkOffset: 1,
        segments: [0, 0, 0],
        start: 1,
      },
    ],
    { arithmetic: true },
  ),
  door(
    "AttentionState.merge",
    AttentionState.merge,
    () => [{ lse: 1, out: [1] }, { lse: 2, out: [3] }],
    { arithmetic: true },
  ),
  door(
    "AttentionState.mergeAll",
    (parts: number) =>
      AttentionState.mergeAll(
        { ...tensor("parts tokens numQHeads valueDim", 2, 3, 1, 4), shape: [parts, 3, 1, 4] },
        { ...tensor("parts tokens numQHeads", 2, 3, 1), shape: [2, 3, 1] },
      ),
    () => [2],
  ),
  door("Window.last", Window.last, () => [3, { sinks: 1 }], { arithmetic: true }),
  door("Window.excludingSelf", Window.excludingSelf, () => [3], { arithmetic: true }),
  door("Window.lowest", Window.lowest, () => [{ last: 3, sinks: 0 }, 5], { arithmetic: true }),
]

/** Two caches and a pool of two layers. */
export const room: Plan = Effect.gen(function* () {
  const layout = Result.getOrThrow(
    Layout.make({ layers: 2, keyHeads: 1, keyDim: 4, blockSize: 4 }),
  )
  const arena = yield* Arena.make(layout, 40)
  const lease = yield* Lease.make(arena)
  const keys = yield* floats("layers tokens keyHeads keyDim", 2, 6, 1, 4)
  const values: Tensor<"f32", "layers tokens valueHeads valueDim"> = {
    ...keys,
    axes: "layers tokens valueHeads valueDim",
  }
  const x = Result.getOrThrow(KvCache.append(KvCache.empty(arena), { keys, values }))
  const pages = Result.getOrThrow(
    Result.flatMap(Pages.make(arena, 4), (pool) =>
      Pages.write(pool, { keys, values }, [
        { page: 1, offset: 0, from: 0, count: 4 },
        { page: 2, offset: 0, from: 4, count: 2 },
      ])),
  )
  const all = [x, ...Pages.caches(pages)]
  yield* placed(lease, all)
  const y = Result.getOrThrow(KvCache.truncate(x, 4))
  return {
    doors: [...over(x, y), ...paged(pages), ...plain],
    arenas: [arena],
    read: readCaches(lease, all),
  }
})
