/** `PagedKvCache` against lists of row numbers, with everything unseen poisoned. @module */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Attention, Gpu, PagedKvCache, Program, Recording, Tensor, Window } from "../../mod.ts"
import { queries } from "../arbitraries/readings.ts"
import { near, rounding, rowsOf } from "../../testing/world/readings.ts"
import * as Shelf from "../models/shelf.ts"
import * as World from "../../testing/world/world.ts"

const [numBlocks, batchSize, maxBlocksPerSeq] = [7, 3, 4]

const layout = fc.record({
  layers: fc.constant(1),
  keyHeads: fc.integer({ min: 1, max: 2 }),
  keyDim: fc.integer({ min: 1, max: 3 }),
  blockSize: fc.constantFrom(1, 2, 3, 5),
  dtype: fc.constantFrom("f32", "f16", "bf16"),
  placement: fc.constantFrom("perLayer", "fused", "interleaved"),
})

const command = fc.record({
  /** Which of the values made before. */
  base: fc.nat(9),
  what: fc.constantFrom("allocate", "take", "append", "append", "truncate", "free", "realize"),
  sequence: fc.constantFrom(0, 0, 0, 1, 1, 2),
  count: fc.nat(9),
})

/** Programs begin with sequences that hold something, else most commands have nothing to do. */
const begun = [0, 1].flatMap((sequence) =>
  (["allocate", "append"] as const).map((what) => ({ base: 0, what, sequence, count: 7 }))
)

/** Row numbers and blocks of each sequence. */
interface Model {
  readonly rows: ReadonlyArray<ReadonlyArray<number>>
  readonly blocks: ReadonlyArray<ReadonlyArray<number>>
}

interface Made {
  readonly cache: PagedKvCache
  readonly model: Model
}

/** New rows as this view takes them. */
const rowsFor = (shelf: Shelf.Shelf, ids: ReadonlyArray<number>) => {
  const { keyHeads: numKvHeads, keyDim: headDim } = shelf.world.arena.layout
  const { keys, values } = World.uploaded(shelf.world, ids)
  const sizes = { tokens: ids.length, numKvHeads, headDim }
  const as = (x: typeof keys | typeof values): PagedKvCache.NewRows =>
    Result.getOrThrow(Tensor.reshape(x, "tokens numKvHeads headDim", sizes))
  return [as(keys), as(values)] as const
}

/** Takes blocks as the model says, or refuses as it says. */
const allocate = (
  { cache, model }: Made,
  { what, sequence, count }: { what: string; sequence: number; count: number },
): Made => {
  const used = new Set(model.blocks.flat())
  const free = Array.from({ length: numBlocks }, (_, i) => i).filter((id) => !used.has(id))
  const ids = what === "take" ? free.toReversed() : free
  const { blockSize } = cache
  const needed = Math.ceil((model.rows[sequence]!.length + count) / blockSize)
  const fresh = Math.max(0, needed - model.blocks[sequence]!.length)
  const got = PagedKvCache.allocateBlocks(cache, {
    sequence,
    numTokens: count,
    ...(what === "take" && { freeBlockIds: ids }),
  })
  if (needed > maxBlocksPerSeq || fresh > free.length) {
    const tag = needed > maxBlocksPerSeq ? "BlockTableFull" : "OutOfBlocks"
    assert.equal(Result.getOrThrow(Result.flip(got))._tag, tag)
    return { cache, model }
  }
  const { cache: next, consumed } = Result.getOrThrow(got)
  assert.equal(consumed, fresh)
  const row = [...model.blocks[sequence]!, ...ids.slice(0, fresh)]
  return { cache: next, model: { ...model, blocks: model.blocks.with(sequence, row) } }
}

const shorten = ({ cache, model }: Made, sequence: number, length: number, free: boolean): Made => {
  const { cache: next, freed } = Result.getOrThrow(
    free
      ? PagedKvCache.freeSequence(cache, sequence)
      : PagedKvCache.truncate(cache, sequence, length),
  )
  const kept = Math.ceil(length / cache.blockSize)
  assert.deepEqual(freed, model.blocks[sequence]!.slice(kept))
  return {
    cache: next,
    model: {
      rows: model.rows.with(sequence, model.rows[sequence]!.slice(0, length)),
      blocks: model.blocks.with(sequence, model.blocks[sequence]!.slice(0, kept)),
    },
  }
}

/** Appends what the blocks have room for. */
const append = (shelf: Shelf.Shelf, { cache, model }: Made, sequence: number, most: number) => {
  const rows = model.rows[sequence]!
  const room = model.blocks[sequence]!.length * cache.blockSize - rows.length
  const ids = World.rows(shelf.world, Math.min(most, room))
  const next = Result.getOrThrow(
    PagedKvCache.appendKv(cache, sequence, ...rowsFor(shelf, ids)),
  )
  return { cache: next, model: { ...model, rows: model.rows.with(sequence, [...rows, ...ids]) } }
}

/** Tables, lengths, what is gathered and what lies in the pools. */
const verify = (shelf: Shelf.Shelf, { cache, model }: Made): void => {
  const { layout } = shelf.world.arena
  assert.deepEqual(cache.seqLengths, model.rows.map((ids) => ids.length))
  assert.deepEqual(
    cache.blockTable,
    model.blocks.map((row) => [
      ...row,
      ...new Array<number>(maxBlocksPerSeq - row.length).fill(-1),
    ]),
  )
  const [got, pools] = Shelf.run(
    shelf,
    Effect.gen(function* () {
      const got = yield* Program.run(
        Effect.forEach(model.rows, (_, sequence) => PagedKvCache.gatherKv(cache, sequence)),
      )
      const pools = yield* Program.run(Effect.all({
        keys: PagedKvCache.keyPool(cache),
        values: PagedKvCache.valuePool(cache),
      }))
      const read = yield* Effect.forEach(got, ({ keys, values, length }) =>
        Effect.all({
          keys: Gpu.read(keys),
          values: Gpu.read(values),
          shape: Effect.succeed(keys.shape),
          length: Effect.succeed(length),
        }))
      assert.deepEqual(pools.keys.shape, [
        numBlocks,
        cache.blockSize,
        cache.numKvHeads,
        cache.headDim,
      ])
      return [
        read,
        { keys: yield* Gpu.read(pools.keys), values: yield* Gpu.read(pools.values) },
      ] as const
    }),
  )
  for (const kind of ["keys", "values"] as const) {
    for (const [sequence, ids] of model.rows.entries()) {
      const { [kind]: rows, shape, length } = got[sequence]!
      assert.equal(length, ids.length)
      assert.deepEqual(shape, [length, cache.numKvHeads, cache.headDim])
      near(`gathered ${kind}`, rows, rowsOf(layout, ids, 0, kind), 0)
    }
    const width = cache.blockSize * cache.numKvHeads * cache.headDim
    const want = new Array<number>(numBlocks * width).fill(0)
    for (const [sequence, row] of model.blocks.entries()) {
      for (const [i, block] of row.entries()) {
        const ids = model.rows[sequence]!.slice(i * cache.blockSize, (i + 1) * cache.blockSize)
        const rows = rowsOf(layout, ids, 0, kind)
        want.splice(block * width, rows.length, ...rows)
      }
    }
    near(`pool of ${kind}`, pools[kind], want, 0)
  }
}

/** Attention of each sequence alone, heads first, and of all in one batch, against the oracle. */
const attend = (shelf: Shelf.Shelf, { cache, model }: Made, count: number, chunk: number): void => {
  const { layout } = shelf.world.arena
  const { keyHeads, keyDim } = layout
  const { numQHeads, of } = queries(layout, 1)
  const rows = model.rows.map((ids, sequence) => ({
    sequence,
    queryLen: Math.min(count, ids.length),
  }))
  const asking = model.rows.map((ids, i) => ids.slice(ids.length - rows[i]!.queryLen))
  const q = of(asking.flat())
  const fresh = <const A extends string>(axes: A, shape: ReadonlyArray<number>, of = q) =>
    Recording.fresh("f32", axes, shape, Float32Array.from(of))
  const masks = [
    { read: {}, dense: { causal: false } },
    { read: { mask: {} }, dense: {} },
    { read: { mask: { window: Window.last(2) } }, dense: { window: Window.last(2) } },
    { read: { mask: { chunk } }, dense: { chunk } },
  ]
  for (const { read, dense } of masks) {
    const want = model.rows.flatMap((ids, i) => {
      const queryLen = rows[i]!.queryLen
      const input = {
        q: of(asking[i]!),
        k: rowsOf(layout, ids, 0, "keys"),
        v: rowsOf(layout, ids, 0, "values"),
        ...{ queryLen, contextLen: ids.length, numQHeads },
        ...{ keyHeads, valueHeads: keyHeads, keyDim, valueDim: keyDim },
      }
      return [...Attention.dense(input, dense).out]
    })
    const [batch, alone] = Shelf.run(
      shelf,
      Effect.gen(function* () {
        const batch = yield* Program.run(Effect.suspend(() => {
          const all = fresh("tokens numQHeads headDim", [asking.flat().length, numQHeads, keyDim])
          return PagedKvCache.pagedAttentionBatch(all, cache, rows, read)
        }))
        const alone = yield* Effect.forEach(
          rows,
          ({ sequence, queryLen }) =>
            Effect.gen(function* () {
              const own = of(asking[sequence]!)
              const exchanged = Array.from({ length: own.length }, (_, i) => {
                const [h, t] = [
                  Math.floor(i / keyDim / queryLen),
                  Math.floor(i / keyDim) % queryLen,
                ]
                return own[(t * numQHeads + h) * keyDim + i % keyDim]!
              })
              const { out, lse } = yield* Program.run(Effect.suspend(() => {
                const shape = [numQHeads, queryLen, keyDim]
                const query = fresh("numQHeads tokens headDim", shape, exchanged)
                return PagedKvCache.pagedAttention(query, cache, sequence, read)
              }))
              assert.deepEqual(lse.shape, [numQHeads, queryLen])
              const got = yield* Gpu.read(out)
              return Array.from({ length: got.length }, (_, i) => {
                const [t, h] = [
                  Math.floor(i / keyDim / numQHeads),
                  Math.floor(i / keyDim) % numQHeads,
                ]
                return got[(h * queryLen + t) * keyDim + i % keyDim]!
              })
            }),
        )
        return [yield* Gpu.read(batch.out), alone.flat()] as const
      }),
    )
    near("attention of a batch", batch, want, rounding)
    near("attention of a sequence, alone as in a batch", alone, batch, 0)
  }
}

test("PagedKvCache: every value made by a program reads as lists of positions do", () => {
  fc.assert(
    fc.property(
      layout,
      fc.array(command, { minLength: 1, maxLength: 14 }),
      fc.nat(4),
      fc.integer({ min: 1, max: 4 }),
      (drawn, commands, count, chunk) => {
        const shelf = Shelf.make(drawn)
        const nothing = Array.from({ length: batchSize }, (): ReadonlyArray<number> => [])
        const cache = Result.getOrThrow(
          PagedKvCache.of(shelf.world.arena, { numBlocks, batchSize, maxBlocksPerSeq }),
        )
        const made: Array<Made> = [{ cache, model: { rows: nothing, blocks: nothing } }]
        for (const one of [...begun, ...commands]) {
          // Mostly the newest, so that sequences grow; else a fork.
          const base = made[Math.max(0, made.length - 1 - (one.base > 6 ? one.base - 6 : 0))]!
          const { what, sequence, count } = one
          const { length } = base.model.rows[sequence]!
          switch (what) {
            case "allocate":
            case "take":
              made.push(allocate(base, one))
              break
            case "append":
              made.push(append(shelf, base, sequence, count))
              break
            case "truncate":
              made.push(shorten(base, sequence, Math.max(0, length - count), false))
              break
            case "free":
              made.push(shorten(base, sequence, 0, true))
              break
            case "realize":
              Shelf.run(shelf, Program.run(PagedKvCache.realize(base.cache)))
          }
        }
        for (const one of made) verify(shelf, one)
        attend(shelf, made.at(-1)!, count, chunk)
        Shelf.end(shelf)
      },
    ),
    { numRuns: 150 },
  )
})
