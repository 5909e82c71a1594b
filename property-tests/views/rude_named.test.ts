/** What a rude caller and an independent generator of cases found, one by one. @module */
import { Effect, Result } from "effect"
import { test } from "node:test"
import {
  Attention,
  AttentionState,
  Gpu,
  KvCache,
  Layout,
  PageAttention,
  PagedKvCache,
  Pages,
  PageUtilities,
  Program,
  Recording,
  type Tensor,
  TransformerCacheMetaData,
  TransformerCacheView,
} from "../../mod.ts"
import { everywhere } from "../device/everywhere.ts"
import { floats } from "../kernels/values.ts"
import { near } from "../../testing/world/readings.ts"
import * as Shelf from "../models/shelf.ts"
import { emptyOf, rows, shelfOf } from "./paged.ts"
import { refuses } from "./refused.ts"

const zeros = <const A extends string>(
  axes: A,
  ...shape: ReadonlyArray<number>
): Tensor<"f32", A> =>
  Recording.fresh("f32", axes, shape, new Float32Array(shape.reduce((n, size) => n * size, 1)))

/** What an effect is refused with, as a result. */
const answer = <A, E>(effect: Effect.Effect<A, E, Recording | Recording.Transaction | Gpu>) =>
  Effect.runPromise(
    Effect.provide(Effect.scoped(Effect.result(Program.run(effect))), Gpu.layerCpu()),
  )

test("rows of an axis more are refused, even where it is of size 1", async () => {
  const shelf = shelfOf()
  const { arena } = shelf.world
  const { cache } = Result.getOrThrow(
    PagedKvCache.allocateBlocks(emptyOf(shelf), { sequence: 0, numTokens: 1 }),
  )
  const five = { ...rows(1), shape: [1, 2, 2, 1] }
  const rank = (tensor: string, axes: string, actual: number) =>
    `bind axis "${axes} (rank)" of ${tensor} to ${actual - 1}: it is ${actual}`
  const axes = "tokens numKvHeads headDim"
  refuses(PagedKvCache.appendKv(cache, 0, five, five), "ShapeMismatch", rank("keysNew", axes, 4))
  refuses(
    PagedKvCache.appendKv(cache, 0, rows(1), five),
    "ShapeMismatch",
    rank("valuesNew", axes, 4),
  )
  const keys = zeros("layers tokens keyHeads keyDim", 1, 1, 2, 2, 1)
  const values = zeros("layers tokens valueHeads valueDim", 1, 1, 2, 2)
  refuses(
    KvCache.append(KvCache.empty(arena), { keys, values }),
    "ShapeMismatch",
    rank("rows.keys", "layers tokens keyHeads keyDim", 5),
  )
  const sizes = { batchSize: 1, sequenceLength: 4, numHiddenLayers: 1, padTokenId: 0 }
  const heads = { keyHeads: 2, valueHeads: 2, keyDim: 2, valueDim: 2 }
  const metadata = Result.getOrThrow(TransformerCacheMetaData.create({ ...sizes, ...heads }))
  const view = Result.getOrThrow(TransformerCacheView.init(arena, { metadata }))
  refuses(
    TransformerCacheView.append(view, {
      key: zeros("batch tokens keyHeads keyDim", 1, 1, 2, 2, 1),
      value: zeros("batch tokens valueHeads valueDim", 1, 1, 2, 2),
    }),
    "ShapeMismatch",
    rank("key", "batch tokens keyHeads keyDim", 5),
  )
  Shelf.end(shelf)
  const keyPages = zeros("pages heads slots dim", 1, 1, 2, 2)
  const query = zeros("numSeqs numHeads headDim", 1, 1, 2, 1)
  const asked = { query, contextLens: [1], blockTables: [[0]], keyPages, valuePages: keyPages }
  refuses(
    await answer(PageAttention.pageAttention(asked)),
    "ShapeMismatch",
    rank("q", "tokens numQHeads headDim", 4),
  )
})

test("mergeAll() refuses log-sum-exps of other tokens or heads", async () => {
  const outs = zeros("parts tokens numQHeads valueDim", 2, 1, 2, 4)
  const merged = (...shape: ReadonlyArray<number>) =>
    answer(AttentionState.mergeAll(outs, zeros("parts tokens numQHeads", ...shape)))
  refuses(await merged(2, 2, 2), "ShapeMismatch", `bind axis "tokens" of lses to 1: it is 2`)
  refuses(await merged(2, 1, 3), "ShapeMismatch", `bind axis "numQHeads" of lses to 2: it is 3`)
  refuses(
    await merged(2, 1, 2, 1),
    "ShapeMismatch",
    `bind axis "parts tokens numQHeads (rank)" of lses to 3: it is 4`,
  )
})

test("kvCacheUpdateReference() refuses heads that are no pairs, as the update does", () => {
  const host = (shape: ReadonlyArray<number>) => ({
    shape: shape as [number, number, number],
    data: new Float32Array(shape.reduce((n, size) => n * size, 1)),
  })
  const updated = (shape: ReadonlyArray<number>, slices: ReadonlyArray<ReadonlyArray<number>>) =>
    PageUtilities.kvCacheUpdateReference(
      host(shape),
      slices as unknown as PageUtilities.SliceIndices,
      host([4, ...shape.slice(1)]),
      1,
      { pageSize: 2 },
    )
  const one = [[0], [0], [1]]
  refuses(
    updated([1, 3, 2], one),
    "InvalidArgument",
    "take 3 as combinedHeads of kvCache: it must be an even number, at least 2: keys and values of each head",
  )
  refuses(
    updated([1, 2, 2, 1], one),
    "ShapeMismatch",
    `bind axis "tokens combinedHeads headDim (rank)" of newKv to 3: it is 4`,
  )
  refuses(
    updated([1, 2, 2], [[0], [0]]),
    "InvalidArgument",
    "take 2 as rows of sliceIndices: it must be 3: starts, sources and lengths",
  )
})

test("Pages refuse contexts of no whole number of tokens, and rows that nothing is written of", () => {
  const shelf = shelfOf()
  const { pages } = emptyOf(shelf)
  for (const length of [-1, 0.5, NaN, Infinity]) {
    const gathered = Effect.result(Program.run(Pages.gather(pages, [0], length)))
    refuses(
      Shelf.run(shelf, gathered),
      "InvalidArgument",
      `take ${length} as contextLen: it must be a whole number, at least 0`,
    )
  }
  const row = { blocks: [0], contextLen: -1, queryLen: 0 }
  const none = zeros("tokens numQHeads headDim", 0, 2, 2)
  refuses(
    Shelf.run(shelf, Effect.result(Program.run(Attention.attendPages(none, pages, [row])))),
    "InvalidArgument",
    "take -1 as contextLen of row 0: it must be a whole number, at least 0",
  )
  const keys = zeros("layers tokens keyHeads keyDim", 1, 1, 3, 2)
  const values = zeros("layers tokens valueHeads valueDim", 1, 1, 2, 2)
  refuses(
    Pages.write(pages, { keys, values }, []),
    "ShapeMismatch",
    'bind axis "keyHeads" of rows.keys to 2: it is 3',
  )
  Shelf.end(shelf)
})

test("counts that no host has memory for are refused before it is asked for", () => {
  const shelf = shelfOf()
  const { arena } = shelf.world
  const huge = 2 ** 32
  refuses(
    Layout.make({ layers: huge, keyHeads: 1, keyDim: 1, blockSize: 1 }),
    "InvalidArgument",
    `take ${huge} as layers: it must be a whole number from 1 to 65536`,
  )
  refuses(
    PagedKvCache.of(arena, { batchSize: 1, maxBlocksPerSeq: huge }),
    "InvalidArgument",
    `take ${huge} as cells of the block table: it must be at most 67108864: take fewer sequences or blocks`,
  )
  const sizes = { sequenceLength: 4, numHiddenLayers: 1, padTokenId: 0, numHeads: 1, headDim: 1 }
  refuses(
    TransformerCacheMetaData.create({ ...sizes, batchSize: 2 ** 16, numHiddenLayers: 2 ** 16 }),
    "InvalidArgument",
    `take ${huge} as batchSize · numHiddenLayers: it must be at most 1048576: take a smaller batch`,
  )
  refuses(
    PageUtilities.slotMappingToSlices({
      blockTables: [[0]],
      cachedLengths: [0],
      queryLengths: [1],
      numPages: 1,
      slicesPerProcessingPage: huge,
    }),
    "InvalidArgument",
    `take ${huge} as slicesPerProcessingPage: it must be at most 1048576: so many columns are made at least`,
  )
  const query = zeros("tokens numQHeads headDim", 1, 2, 2)
  const asked = [{ sequence: 0, queryLen: huge }]
  refuses(
    Shelf.run(
      shelf,
      Effect.result(
        Program.run(PagedKvCache.pagedAttentionBatch(query, emptyOf(shelf), asked)),
      ),
    ),
    "ShapeMismatch",
    `bind axis "tokens" of q to ${huge}: it is 1`,
  )
  Shelf.end(shelf)
})

everywhere(
  "a soft cap far above every score changes nothing",
  () =>
    Effect.scoped(Effect.gen(function* () {
      const upload = <const A extends string>(axes: A, ...shape: ReadonlyArray<number>) => {
        const n = shape.reduce((product, size) => product * size, 1)
        return Effect.map(
          Gpu.upload("f32", "n", { n }, floats(n, n)),
          (flat) => ({ ...flat, axes, shape }),
        )
      }
      // A pool for the general kernel, and one for the kernel in registers.
      for (const dim of [39, 32]) {
        const query = yield* upload("numSeqs numHeads headDim", 1, 8, dim)
        const keyPages = yield* upload("pages heads slots dim", 4, 2, 8, dim)
        const asked = { query, keyPages, valuePages: keyPages }
        const attended = (attnLogitsSoftCap?: number) =>
          Effect.flatMap(
            Program.run(PageAttention.pageAttention({
              ...asked,
              contextLens: [30],
              blockTables: [[3, 1, 0, 2]],
              attnLogitsSoftCap,
            })),
            ({ out }) => Gpu.read(out),
          )
        near("out", yield* attended(1e5), yield* attended(), 1e-6)
      }
    })),
)
