/** Law 5: sizes, windows and tensors that do not fit are refused by name and number. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Arena, Attention, Gpu, KvCache, Layout, Recording, Window } from "../../mod.ts"
import { play } from "../models/play.ts"
import { fails, refused, says } from "../models/refusals.ts"

const two = {
  layers: 2,
  groups: [{ layers: [0], window: undefined }, { layers: [1], window: 4 }],
}

test("Attention refuses windows that are gone, and queries, layers and options that mean nothing", () => {
  const w = play(two)
  const a = w.lease()
  const x = w.dropBefore(w.append(w.empty, 6), 3)
  const q = (tokens: number, heads = 1, dim = 1) =>
    Recording.fresh(
      "f32",
      "tokens numQHeads headDim",
      [tokens, heads, dim],
      new Float32Array(tokens * heads * dim),
    )
  const refuse = (
    options: Attention.ReadOptions,
    message: string,
    queries = q(1),
    counts: ReadonlyArray<number> = [1],
  ): void =>
    fails(w, a, Attention.prefill(queries, [x.cache], counts, options), `Cannot ${message}`)
  w.realize(a, x)
  const first = "take 3 as the first position kept: it must be at most"
  refuse({ layer: 0 }, `${first} 0, the first position that the window needs`)
  refuse(
    { layer: 0, window: Window.last(4) },
    `${first} 2, the first position that the window needs`,
  )
  refuse(
    { layer: 0, window: Window.last(2, { sinks: 1 }) },
    `${first} 0, the first position that the window needs`,
  )
  refuse({}, "take nothing as layer: it must be a layer from 0 to 1")
  refuse({ layer: 2 }, "take 2 as layer: it must be a layer from 0 to 1")
  for (const scale of [NaN, Infinity]) {
    refuse({ layer: 0, scale }, `take ${scale} as scale: it must be a finite number`)
  }
  const narrow = w.dropBefore(w.append(w.empty, 6), 2, 1) // what the window of its group needs
  w.realize(a, narrow)
  w.run(a, Attention.prefill(q(1), [narrow.cache], [1], { layer: 1 })).value()
  refuse({ layer: 0, softCap: 0 }, "take 0 as softCap: it must be a finite number above 0")
  refuse(
    { layer: 0, window: { last: 0, sinks: 0 } },
    "take 0 as window.last: it must be a whole number, at least 1",
  )
  refuse(
    { layer: 1 },
    "take 7 as queries of row 0: it must be at most 6, its tokens",
    q(7),
    [7],
  )
  refuse(
    { layer: 1 },
    "take -1 as queries of cache 0: it must be a whole number, at least 0",
    q(1),
    [-1],
  )
  refuse({ layer: 1, chunk: 0 }, "take 0 as chunk: it must be a whole number, at least 1")
  refuse(
    { layer: 1, causal: false, window: Window.last(2, { sinks: 1 }) },
    "take 1 as window.sinks: it must be 0 where queries see later positions too",
  )
  refuse({ layer: 1, starts: [] }, "take 0 as the number of starts: it must be 1, one for each row")
  refuse({ layer: 1, starts: [-1] }, "take -1 as starts[0]: it must be a whole number, at least 0")
  refuse(
    { layer: 1, positions: [[-2]] },
    "take -2 as positions[0][0]: it must be a whole position from 0 on, or −1 (padding)",
  )
  refuse(
    { layer: 1, segments: [[0, 0, 1, 1, 2, 2]], positions: [[6]] },
    "take 6 as positions[0][0]: it must be a whole position from 0 to 5 (the last with a segment), or −1 (padding)",
  )
  refuse(
    { layer: 1, segments: [[0]] },
    "take 1 as the length of segments[0]: it must be 6, the tokens of its context",
  )
  refuse(
    { layer: 1, segments: [[0, 0, 1, 1, 0, 0]] },
    "take 0 as segments[0][4]: it must be in one run with the others of this id",
  )
  refuse(
    { layer: 1, segments: [[0, 0, 1.5, 1, 0, 0]] },
    "take 1.5 as segments[0][2]: it must be a whole number, at least −1 (padding)",
  )
  refuse({ layer: 1 }, `bind axis "tokens" of q to 1: it is 2`, q(2))
  refuse({ layer: 1 }, `bind axis "headDim" of q to 1: it is 2`, q(1, 1, 2))
  fails(
    w,
    a,
    Attention.decode({ ...q(1), axes: "batch numQHeads headDim" }, [x.cache], { layer: 2 }),
    "Cannot take 2 as layer: it must be a layer from 0 to 1",
  )
  w.end()
})

test("Attention.attend() refuses windows whose first position is gone for the first new token", () => {
  const w = play({ keyHeads: 1, keyDim: 1 })
  const a = w.lease()
  const x = w.dropBefore(w.append(w.empty, 6), 3)
  w.realize(a, x)
  const tensor = <const A extends string>(axes: A) =>
    Recording.fresh("f32", axes, [2, 1, 1], new Float32Array(2))
  const step = (last: number) =>
    KvCache.step([x.cache], [2], (given) =>
      Attention.attend(given, 0, {
        q: tensor("tokens numQHeads headDim"),
        k: tensor("tokens keyHeads headDim"),
        v: tensor("tokens valueHeads valueDim"),
      }, { window: Window.last(last) }).pipe(Effect.as({ value: 0 })))
  const need = "at most 2, the first position that the window needs"
  fails(w, a, step(5), `Cannot take 3 as the first position kept: it must be ${need}`)
  w.end()
})

test("Attention.attend() refuses keys and values that are not one row a new token", () => {
  const w = play({ keyHeads: 2, valueHeads: 1, keyDim: 2, valueDim: 3 })
  const a = w.lease()
  const tensor = <const A extends string>(axes: A, ...shape: ReadonlyArray<number>) =>
    Recording.fresh("f32", axes, shape, new Float32Array(shape.reduce((n, size) => n * size, 1)))
  const refuse = (
    k: readonly [number, number, number],
    v: readonly [number, number, number],
    message: string,
  ): void => {
    const body = (given: KvCache.Step) =>
      Attention.attend(given, 0, {
        q: tensor("tokens numQHeads headDim", 2, 2, 2),
        k: tensor("tokens keyHeads headDim", ...k),
        v: tensor("tokens valueHeads valueDim", ...v),
      }).pipe(Effect.as({ value: 0 }))
    fails(w, a, KvCache.step([w.empty.cache], [2], body), `Cannot bind axis ${message}`)
  }
  refuse([1, 2, 2], [2, 1, 3], `"tokens" of k to 2: it is 1`)
  refuse([2, 3, 2], [2, 1, 3], `"keyHeads" of k to 2: it is 3`)
  refuse([2, 2, 4], [2, 1, 3], `"headDim" of k to 2: it is 4`)
  refuse([2, 2, 2], [3, 1, 3], `"tokens" of v to 2: it is 3`)
  refuse([2, 2, 2], [2, 2, 3], `"valueHeads" of v to 1: it is 2`)
  refuse([2, 2, 2], [2, 1, 2], `"valueDim" of v to 3: it is 2`)
  w.end()
})

test("Attention refuses query heads that no key heads divide", () => {
  const w = play({ keyHeads: 2 })
  const a = w.lease()
  const x = w.append(w.empty, 1)
  w.realize(a, x)
  const q = Recording.fresh("f32", "tokens numQHeads headDim", [1, 3, 1], new Float32Array(3))
  const said = 'Cannot bind axis "numQHeads (a multiple)" of q to 4: it is 3'
  fails(w, a, Attention.prefill(q, [x.cache], [1]), said)
  w.end()
})

test("Layout.make() refuses sizes that are no sizes and groups that are no partition", () => {
  const good = { layers: 2, keyHeads: 2, keyDim: 4, blockSize: 4 }
  const refuse = (options: Partial<Layout.Options>, message: string): void =>
    refused(Layout.make({ ...good, ...options }), `Cannot take ${message}`)
  const sizes = ["layers", "keyHeads", "keyDim", "valueHeads", "valueDim", "blockSize", "capacity"]
  for (const name of sizes) {
    refuse({ [name]: 0 }, `0 as ${name}: it must be a whole number, at least 1`)
    refuse({ [name]: 1.5 }, `1.5 as ${name}: it must be a whole number, at least 1`)
  }
  const each = "it must be each layer from 0 to 1 exactly once"
  const group = (...layers: ReadonlyArray<number>) => ({ layers, window: undefined })
  refuse({ groups: [group(0)] }, `0 as layers of the groups: ${each}`)
  refuse({ groups: [group(0), group(2)] }, `0 2 as layers of the groups: ${each}`)
  refuse({ groups: [group(0, 1), group(1)] }, `0 1 1 as layers of the groups: ${each}`)
  refuse(
    { groups: [{ layers: [0, 1], window: 0 }] },
    "0 as window: it must be a whole number, at least 1",
  )
  refuse(
    { placement: "fused", valueDim: 3 },
    "2×4 keys, 2×3 values as heads and dims: " +
      `it must be equal for keys and values, or the placement "perLayer"`,
  )
})

test("Arena.make() fails with ArenaTooLarge or InvalidArgument before anything is allocated", async () => {
  const layout = Result.getOrThrow(Layout.make({ ...two, keyHeads: 1, keyDim: 2, blockSize: 4 }))
  refused(
    Arena.plan(layout, 255),
    "Cannot take 255 as bytes: it must be at least 256: one block of each layer group and its dummy",
  )
  const plan = Result.getOrThrow(Arena.plan(layout, 1000))
  assert.deepEqual(plan, { numBlocks: 6, tokens: 24, bytes: 896, largestBuffer: 224 })
  const uneven = { layers: 1, keyHeads: 1, keyDim: 4, valueDim: 2, blockSize: 4, capacity: 10 }
  assert.deepEqual(
    Result.getOrThrow(Arena.plan(Result.getOrThrow(Layout.make(uneven)), 1000)),
    { numBlocks: 9, tokens: 10, bytes: 960, largestBuffer: 640 },
  )
  const messages = Effect.gen(function* () {
    const refuse = (numBlocks: number | ReadonlyArray<number>, want: string) =>
      Effect.map(
        Effect.flip(Effect.scoped(Arena.make(layout, numBlocks))),
        (error) => says(error, want),
      )
    const { maxBufferBytes } = (yield* Gpu.Service).limits
    const blocks = maxBufferBytes / 32
    yield* refuse(
      blocks,
      `Cannot make the arena as pool 0 needs ${
        maxBufferBytes + 32
      } bytes: the device gives at most ` +
        `${maxBufferBytes} to one buffer; ask for fewer blocks or a narrower dtype`,
    )
    yield* refuse(
      [1, 2, 3],
      "Cannot take 1 2 3 as numBlocks: it must be 2 numbers, one for each layer group",
    )
    yield* refuse(
      [1, 0],
      "Cannot take 0 as numBlocks: it must be a whole number above 0",
    )
    assert.deepEqual(yield* Gpu.live, { buffers: 0, bytes: 0 })
  })
  await Effect.runPromise(Effect.provide(messages, Gpu.layerCpu({ poison: true })))
})
