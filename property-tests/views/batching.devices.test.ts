/** Batches on every device: dense buffers, views of them, and kernels that read by a plan. */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import {
  Arena,
  Attention,
  ContinuousBatchingKvCache as View,
  ContinuousBatchingKvCacheCollection as Collection,
  Gpu,
  Lease,
  Pages,
  Program,
  Recording,
  Tensor,
} from "../../mod.ts"
import { everywhere } from "../device/everywhere.ts"
import { near } from "../../testing/world/readings.ts"
import { pack } from "../../testing/world/storage.ts"
import { half, kinds, layoutOf, plain, rowsOf, tokens, viewOf } from "../models/batching.ts"

const storages = [false, true].flatMap((isMla) =>
  (["f32", "f16", "bf16"] as const).map((dtype) => ({ isMla, dtype }))
)

everywhere(
  "fromTensor() and blocks() are inverse, in every storage, with values and without",
  () =>
    Effect.forEach(storages, ({ isMla, dtype }) =>
      Effect.gen(function* () {
        const sizes = { ...plain, dtype, isMla, headSize: 5, valueDim: 5 }
        const { numBlocks, numLayers, maxSeqLen, numHeads, headSize } = sizes
        const kvDim = isMla ? 1 : 2
        const shape = { numBlocks, kvDim, numLayers, maxSeqLen, numHeads, headSize }
        const count = Object.values(shape).reduce((product, n) => product * n, 1)
        const numbers = Array.from({ length: count }, (_, i) => (i % 255) / 64)
        const arena = yield* Arena.make(layoutOf(sizes), 4)
        const axes = "numBlocks kvDim numLayers maxSeqLen numHeads headSize"
        const given = yield* Gpu.upload(dtype, axes, shape, pack(dtype, numbers))
        const got = yield* Lease.scoped(arena)(Effect.flatMap(
          Program.run(Effect.flatMap(
            Collection.fromTensor(arena, given, { lookupTable: [2], cacheLengths: [8] }),
            Collection.blocks,
          )),
          Gpu.read,
        ))
        near("blocks", got, numbers, 0)
      }).pipe(Effect.scoped)),
)

everywhere(
  "a view of a 4-D tensor loads and attends as one of a collection does",
  () =>
    Effect.scoped(Effect.gen(function* () {
      const sizes = { ...plain, isMla: true, numLayers: 1, valueDim: 2 }
      const arena = yield* Arena.make(layoutOf(sizes), 3)
      const shape = { numBlocks: 2, maxSeqLen: 8, numHeads: 2, headSize: 4 }
      const all = [tokens(sizes, 0, 8), tokens(sizes, 8, 8)]
      const blocks = yield* Gpu.upload(
        "f32",
        "numBlocks maxSeqLen numHeads headSize",
        shape,
        Float32Array.from(all.flat(2)),
      )
      yield* Lease.scoped(arena)(Effect.gen(function* () {
        const view = yield* Program.run(
          View.fromTensor(arena, blocks, { lookupTable: [1, 0], cacheLengths: [5, 0] }),
        )
        assert.deepEqual(view.blocksShape, [2, 8, 2, 4])
        assert.deepEqual(view.blocksStride, [64, 8, 4, 1])
        const loaded = yield* Program.run(View.load(view, 3, { bs: 0, head: 1, tok: 6, dim: 1 }))
        near("load", yield* Gpu.read(loaded), all[1]![6]!.slice(5, 8), 0)
        const same = yield* Effect.fromResult(
          View.of({ pages: view.collection.pages, layer: 0, kind: "keys" }, view),
        )
        const query = Float32Array.from({ length: 8 }, (_, i) => i / 8)
        const outs = []
        for (const keys of [view, same]) {
          const { out } = yield* Program.run(Effect.suspend(() => {
            const q = Recording.fresh("f32", "tokens numQHeads headDim", [1, 2, 4], query)
            return View.attend({ query: q, queryLengths: [1, 0], keys })
          }))
          outs.push(yield* Gpu.read(out))
        }
        assert.deepEqual(outs[0], outs[1])
        const context = all[1]!.slice(0, 5)
        const dense = Attention.dense({
          q: query,
          k: context.flat(),
          v: context.flatMap((token) => half(sizes, token, 0, "values")),
          queryLen: 1,
          contextLen: 5,
          numQHeads: 2,
          keyHeads: 2,
          valueHeads: 2,
          keyDim: 4,
          valueDim: 2,
        })
        near("attention", outs[0]!, dense.out, 1e-5)
        const lengths = yield* Program.run(View.cacheLengthsNd(view))
        assert.deepEqual([...yield* Gpu.read(lengths)], [5, 0])
        assert.equal(Result.getOrThrow(View.cacheLength(view, 0)), 5)
        assert.equal(View.emptyCache(view), false)
        assert.equal(View.maxTileSize(view), 8)
      }))
    })),
)

everywhere(
  "a kernel reads through blockPagedPtr() and createTmaTile() what load() gives",
  () =>
    Effect.scoped(Effect.gen(function* () {
      const { numHeads, headSize, ...rest } = plain
      const empty = yield* Collection.make({
        ...rest,
        kvParams: { numHeads, headSize, isMla: false },
        arenaBlocks: 8,
        lookupTable: [2, 0],
        cacheLengths: [0, 0],
      })
      yield* Lease.scoped(empty.pages.arena)(Effect.gen(function* () {
        const all = [tokens(plain, 0, 7), tokens(plain, 10, 5)]
        // Block 0 is placed first, and an older value holds its own: places are not the caller's numbers.
        const early = yield* Effect.fromResult(
          Collection.append(empty, rowsOf(plain, tokens(plain, 90, 2)), [0, 2]),
        )
        yield* Program.run(Pages.realize(early.pages))
        const collection = yield* Effect.fromResult(
          Collection.append(empty, rowsOf(plain, all.flat()), [7, 5]),
        )
        for (const kind of kinds) {
          const view = viewOf(collection, 1, kind)
          for (const [bs, tok, head, dim] of [[0, 2, 1, 1], [1, 3, 0, 0]] as const) {
            const got = yield* Program.run(Effect.gen(function* () {
              const { buffer, ...box } = yield* View.blockPagedPtr(view, 2, { bs, tok, head, dim })
              assert.equal(buffer.dtype, "f32")
              const pool = buffer as Tensor<"f32", "pool">
              const [tile, plan] = [
                yield* Tensor.strided(pool, "rows columns", box),
                yield* View.createTmaTile(view, {
                  tileM: 2,
                  tileN: 4 - dim,
                  swizzle: "64B",
                  isKMajor: true,
                }),
              ]
              const col = Result.getOrThrow(View.colIdx(view, head)) + dim
              const byTile = yield* Effect.fromResult(View.tileAt(plan, { bs, tok, col }))
              const turned = yield* View.createTmaTile(view, { ...plan, isKMajor: false })
              const other = yield* Effect.fromResult(View.tileAt(turned, { bs, tok, col }))
              return {
                tile,
                byTile: yield* Tensor.strided(pool, "rows columns", byTile),
                turned: yield* Tensor.strided(pool, "columns rows", other),
                loads: [
                  yield* View.load(view, 4 - dim, { bs, tok, head, dim }),
                  yield* View.load(view, 4 - dim, { bs, tok: tok + 1, head, dim }),
                ],
              }
            }))
            const loads = [...yield* Gpu.read(got.loads[0]!), ...yield* Gpu.read(got.loads[1]!)]
            const row = (t: number) => half(plain, all[bs]![t]!, 1, kind)
            const want = [tok, tok + 1]
              .flatMap((t) => row(t).slice(4 * head + dim, 4 * head + 4))
            near("load", loads, want, 0)
            near("block", yield* Gpu.read(got.tile), want, 0)
            near("tile", yield* Gpu.read(got.byTile), want, 0)
            const width = 4 - dim
            const across = Array.from({ length: width }, (_, c) => [want[c]!, want[width + c]!])
            near("turned", yield* Gpu.read(got.turned), across.flat(), 0)
          }
        }
      }))
    })),
)
