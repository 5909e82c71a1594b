/** `ContinuousBatchingKvCache` and its collection against plain lists, with everything unread poisoned. */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  Attention,
  ContinuousBatchingKvCache as View,
  ContinuousBatchingKvCacheCollection as Collection,
  Gpu,
  type Layout,
  Pages,
  Program,
  Recording,
  Window,
} from "../../mod.ts"
import { near, rounding } from "../../testing/world/readings.ts"
import * as Shelf from "../models/shelf.ts"
import { element } from "../../testing/world/storage.ts"
import {
  half,
  kinds,
  rowsOf,
  type Sizes,
  start,
  tokenOf,
  type Value,
  verify,
  viewOf,
} from "../models/batching.ts"

const sizes: fc.Arbitrary<Sizes> = fc.record({
  numBlocks: fc.integer({ min: 2, max: 4 }),
  numLayers: fc.integer({ min: 1, max: 3 }),
  maxSeqLen: fc.integer({ min: 1, max: 6 }),
  numHeads: fc.integer({ min: 1, max: 2 }),
  headSize: fc.integer({ min: 1, max: 5 }),
  narrow: fc.nat(4),
  isMla: fc.boolean(),
  dtype: fc.constantFrom("f32", "f16", "bf16"),
}).map(({ narrow, ...rest }) => ({
  ...rest,
  valueDim: rest.isMla ? Math.max(1, rest.headSize - narrow) : rest.headSize,
}))

const command = fc.record({
  base: fc.nat(20),
  what: fc.constantFrom("append", "append", "store", "rewind"),
  draws: fc.array(fc.nat(1000), { minLength: 8, maxLength: 8 }),
  realize: fc.boolean(),
})

const appended = (
  shelf: Shelf.Shelf,
  sizes: Sizes,
  value: Value,
  draws: ReadonlyArray<number>,
  id: number,
): Value => {
  const { collection, blocks } = value
  const { lookupTable, cacheLengths } = collection
  const counts = cacheLengths.map((n, b) => draws[b]! % (sizes.maxSeqLen - n + 1))
  const total = counts.reduce((sum, n) => sum + n, 0)
  const tokens = Array.from({ length: total }, (_, i) => tokenOf(sizes, id + i))
  const rows = Shelf.lasting(shelf, Effect.sync(() => rowsOf(sizes, tokens)))
  const next = Result.getOrThrow(Collection.append(collection, rows, counts))
  const after = blocks.map((block) => [...block])
  for (const [b, count] of counts.entries()) {
    if (count === 0) continue
    const page = lookupTable[b]!
    after[page] = [...blocks[page]!.slice(0, cacheLengths[b]), ...tokens.splice(0, count)]
  }
  assert.deepEqual(next.cacheLengths, cacheLengths.map((n, b) => n + counts[b]!))
  assert.equal(next.maxSeqLength, Math.max(...counts))
  assert.equal(next.maxCacheLength, Math.max(...next.cacheLengths))
  return { collection: next, blocks: after }
}

/** Where something is stored: choices made into what is allowed. */
const placeOf = (sizes: Sizes, { collection, blocks }: Value, draws: ReadonlyArray<number>) => {
  const { numLayers, numHeads, headSize, isMla, maxSeqLen } = sizes
  const [bs, head, tok, dim, width, layer, kind] = draws as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const b = bs % collection.lookupTable.length
  const held = blocks[collection.lookupTable[b]!]!.length
  const from = dim % headSize
  return {
    layer: layer % numLayers,
    kind: isMla ? "keys" as const : kinds[kind % 2]!,
    place: { bs: b, head: head % numHeads, tok: tok % Math.min(maxSeqLen, held + 1), dim: from },
    width: 1 + width % (headSize - from),
  }
}

const stored = (
  shelf: Shelf.Shelf,
  sizes: Sizes,
  value: Value,
  draws: ReadonlyArray<number>,
  id: number,
): Value => {
  const { layer, kind, place, width } = placeOf(sizes, value, draws)
  const values = Array.from({ length: width }, (_, i) => element(id, 7, "keys", 0, i))
  const view = viewOf(value.collection, layer, kind)
  const { collection } = Shelf.lasting(shelf, View.store(view, place, values))
  const { numLayers, numHeads, headSize, isMla } = sizes
  const page = collection.lookupTable[place.bs]!
  const tokens = [...value.blocks[page]!]
  const zeros = new Array<number>((isMla ? 1 : 2) * numLayers * numHeads * headSize).fill(0)
  const token = [...tokens[place.tok] ?? zeros]
  const plane = (kind === "values" ? numLayers : 0) + layer
  token.splice((plane * numHeads + place.head) * headSize + place.dim, width, ...values)
  tokens[place.tok] = token
  return { collection, blocks: value.blocks.with(page, tokens) }
}

/** Other lengths of the same blocks: a step that was taken back. */
const rewound = ({ collection, blocks }: Value, draws: ReadonlyArray<number>): Value => {
  const { lookupTable, pages } = collection
  const cacheLengths = lookupTable.map((page, b) => draws[b]! % (blocks[page]!.length + 1))
  return {
    collection: Result.getOrThrow(Collection.of(pages, { lookupTable, cacheLengths })),
    blocks,
  }
}

const attention = (shelf: Shelf.Shelf, sizes: Sizes, { collection, blocks }: Value): void => {
  const { numLayers, numHeads, headSize, valueDim, isMla } = sizes
  const queryLengths = collection.cacheLengths.map((length) => Math.min(2, length))
  const numQHeads = 3 * numHeads
  const count = queryLengths.reduce((sum, n) => sum + n, 0)
  const q = Array.from(
    { length: count * numQHeads * headSize },
    (_, i) => element(i, 8, "keys", 0, 0),
  )
  for (let layer = 0; layer < numLayers; layer++) {
    const out = Shelf.run(
      shelf,
      Effect.flatMap(
        Program.run(Effect.suspend(() => {
          const shape = [count, numQHeads, headSize]
          const query = Recording.fresh(
            "f32",
            "tokens numQHeads headDim",
            shape,
            Float32Array.from(q),
          )
          const keys = viewOf(collection, layer, "keys")
          const read = { query, queryLengths, keys, window: Window.last(4) }
          return View.attend(
            isMla ? read : { ...read, values: viewOf(collection, layer, "values") },
          )
        })),
        ({ out }) => Gpu.read(out),
      ),
    )
    let from = 0
    const want = collection.lookupTable.flatMap((page, b) => {
      const context = blocks[page]!.slice(0, collection.cacheLengths[b])
      const size = queryLengths[b]! * numQHeads * headSize
      const numbers = (kind: Layout.Kind) =>
        context.flatMap((token) => half(sizes, token, layer, kind))
      return [
        ...Attention.dense({
          q: q.slice(from, from += size),
          k: numbers("keys"),
          v: numbers("values"),
          queryLen: queryLengths[b]!,
          contextLen: context.length,
          numQHeads,
          keyHeads: numHeads,
          valueHeads: numHeads,
          keyDim: headSize,
          valueDim: isMla ? valueDim : headSize,
        }, { window: Window.last(4) }).out,
      ]
    })
    near("attention", out, want, rounding)
  }
}

test("a collection's updates leave every older one as it was, and it reads as plain arrays do", () => {
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 2 }), fc.array(command, { maxLength: 8 }), (
      sizes,
      batch,
      commands,
    ) => {
      const { shelf, empty } = start(sizes, batch)
      const values: Array<Value> = [{
        collection: empty,
        blocks: Array.from({ length: sizes.numBlocks }, () => []),
      }]
      for (const [i, { base, what, draws, realize }] of commands.entries()) {
        const value = values[base % values.length]!
        const id = 100 * (i + 1)
        const next = what === "append"
          ? appended(shelf, sizes, value, draws, id)
          : what === "store"
          ? stored(shelf, sizes, value, draws, id)
          : rewound(value, draws)
        values.push(next)
        if (realize) Shelf.run(shelf, Program.run(Pages.realize(next.collection.pages)))
      }
      for (const value of values) {
        verify(shelf, sizes, value)
        attention(shelf, sizes, value)
      }
      Shelf.end(shelf)
    }),
    { numRuns: 120 },
  )
})
