/** What hostile calls found, each by itself. @module */
import { Effect, Exit, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  Arena,
  Attention,
  ContinuousBatchingKvCacheCollection as Collection,
  Gpu,
  KvCache,
  Layout,
  Lease,
  Llama,
  PagedKvCache,
  Pages,
  PageUtilities,
  Program,
  Recording,
  Tensor,
  TransformerCache,
  Window,
} from "../../mod.ts"
import { adapters } from "../adapters.ts"
import { floats, tensor } from "./doors/values.ts"

const run = <A>(work: Effect.Effect<A, unknown, Gpu>): Promise<A> =>
  Effect.runPromise(Effect.provide(work, Gpu.layerCpu()))

const message = (made: Result.Result<unknown, { readonly message: string }>): string =>
  Result.isFailure(made) ? made.failure.message : "it was answered"

const layout = (more: Partial<Layout.Options> = {}): Layout.Layout =>
  Result.getOrThrow(Layout.make({ layers: 1, keyHeads: 1, keyDim: 4, blockSize: 4, ...more }))

test("Arena.plan() makes no plan of endless memory", () => {
  for (const bytes of [Infinity, 1e308, 2 ** 53, NaN]) {
    assert.match(message(Arena.plan(layout(), bytes)), /^Cannot take .+ as bytes: it must be at /)
  }
})

test("Layout.blockBytes() and Layout.strides() name a part that the layout lacks", () => {
  const group = /^Cannot take 7 as group: it must be a whole number from 0 to 0$/
  const layer = /^Cannot take 7 as layer: it must be a whole number from 0 to 0$/
  assert.throws(() => Layout.blockBytes(layout(), 7), { _tag: "InvalidArgument", message: group })
  assert.throws(() => Layout.strides(layout(), 7, "keys"), { message: layer })
})

test("Attention.dense() reads and makes nothing that its arrays do not hold", () => {
  const sizes = { numQHeads: 1, keyHeads: 1, valueHeads: 1, keyDim: 1, valueDim: 1 }
  const input = { q: [1], k: [1], v: [1], queryLen: 1, contextLen: 2 ** 31, ...sizes }
  const length = /^Cannot take 1 as the length of k: it must be 2147483648$/
  assert.throws(() => Attention.dense(input), { _tag: "InvalidArgument", message: length })
})

test("Tensor.turns(), TransformerCache.initEmpty() and Llama.chain() make no endless lists", () =>
  run(Effect.scoped(Effect.gen(function* () {
    const turns = Tensor.turns({ theta: 10_000, rotary: 2 ** 53 - 2 })
    assert.equal(message(turns), `Cannot take ${2 ** 53 - 2} as rotary: it must be at most 65536`)
    const layers = TransformerCache.initEmpty(2 ** 53 - 1)
    assert.match(message(layers), /as numHiddenLayers: it must be at most 65536$/)
    const llama = yield* Llama.load()
    const arena = yield* Arena.make(Result.getOrThrow(Llama.layout(llama)), 2)
    const chain = yield* Effect.flip(Llama.chain(llama, arena, { steps: 2 ** 31 }))
    assert.match(chain.message, /as steps: it must be a whole number from 1 to 4096$/)
  }))))

test("a whole pool of more pages than memory has is refused, and not thrown about", () =>
  run(Effect.scoped(Effect.gen(function* () {
    const arena = yield* Arena.make(layout(), 2)
    const pages = Result.getOrThrow(Pages.make(arena, 2 ** 53 - 1))
    const refused = yield* Effect.flip(Lease.scoped(arena)(Program.run(Pages.gatherAll(pages))))
    assert.match(refused.message, /^Cannot take 9007199254740991 as the pages of the whole pool: /)
  }))))

test("sizes that multiply to the right number and are none are refused", () => {
  const sizes = { rows: -2, columns: -4 }
  const bad = /^Cannot bind axis "rows \(a whole number\)" of .+ to 0: it is -2$/
  assert.match(message(Tensor.reshape(tensor("n", 8), "rows columns", sizes)), bad)
  assert.match(message(Recording.constant("f32", "rows columns", sizes, new Float32Array(8))), bad)
})

test("Gpu.allocate() and Program.capture() refuse sizes that are none", () =>
  run(Effect.scoped(Effect.gen(function* () {
    const none = yield* Effect.flip(Gpu.allocate(NaN))
    assert.match(none.message, /^Cannot run allocation on the device \(validation\): NaN bytes/)
    const inputs = { x: Program.tensor("f32", "rows columns", { rows: -1, columns: 4 }) }
    const captured = yield* Effect.flip(Program.capture(inputs, ({ x }) => Tensor.add(x, x)))
    assert.match(captured.message, /^Cannot bind axis "rows/)
  }))))

test("PageUtilities.slotMappingToSlices() counts no position past 32 bits", () => {
  const mapping = { cachedLengths: [0], queryLengths: [1], numPages: 2, pageSize: 2 ** 31 }
  const made = PageUtilities.slotMappingToSlices({ blockTables: [[1]], ...mapping })
  assert.match(message(made), /^Cannot take 2 as numPages: it must be at most 1: /)
})

test("numbers that f32 does not have are refused before a device makes others of them", () => {
  const x = tensor("tokens model", 2, 4)
  const rec = Recording.open()
  const inF32 = /^Cannot take .+ as \w+: it must be .+, also in f32$/
  assert.match(message(Tensor.scaleTo(rec, x, 1e308)), inF32)
  assert.match(message(Tensor.rmsNormTo(rec, x, tensor("model", 4), { eps: 1e-60 })), inF32)
  const noise = Recording.fresh("u32", "tokens two", [2, 2], new Uint32Array(4))
  assert.match(message(Tensor.sampleTo(rec, x, noise, { temperature: 1e-60 })), inF32)
})

test("a list with a hole is no list of token ids", () =>
  run(Effect.scoped(Effect.gen(function* () {
    const llama = yield* Llama.load()
    // deno-lint-ignore no-sparse-arrays -- a hole is what is tried
    const ids = [1, , 2] as ReadonlyArray<number>
    const refused = yield* Effect.flip(Llama.score(llama, ids))
    assert.match(refused.message, /^Cannot take nothing as a token id/)
  }))))

test("PagedKvCache.fromPages() keeps tables of its own", () =>
  run(Effect.scoped(Effect.gen(function* () {
    const arena = yield* Arena.make(layout(), 2)
    const pages = Result.getOrThrow(Pages.make(arena, 2))
    const [blockTable, seqLengths] = [[[-1]], [0]]
    const cache = Result.getOrThrow(PagedKvCache.fromPages(pages, { blockTable, seqLengths }))
    seqLengths[0] = 7
    blockTable[0]![0] = 1
    assert.deepEqual([cache.blockTable, cache.seqLengths], [[[-1]], [0]])
  }))))

test("a chain decodes a cache of its own arena only, and refuses tokens and runs that are none", () =>
  run(Effect.scoped(Effect.gen(function* () {
    const llama = yield* Llama.load()
    const make = Arena.make(Result.getOrThrow(Llama.layout(llama)), 2)
    const [arena, other] = [yield* make, yield* make]
    const chain = yield* Llama.chain(llama, arena, { steps: 2 })
    const decode = (token: number, ahead: number, of = arena) =>
      Lease.scoped(of)(Effect.exit(Program.run(
        Llama.decode(chain, KvCache.empty(of), token, {
          count: 2,
          ahead,
          hear: () => Effect.succeed(true),
        }),
      )))
    for (const exit of [yield* decode(1, 0, other), yield* decode(-1, 0), yield* decode(1, -1)]) {
      assert.ok(Exit.isFailure(exit))
      const [reason] = exit.cause.reasons
      assert.ok(reason?._tag === "Fail" && reason.error._tag === "InvalidArgument", `${exit.cause}`)
    }
    assert.ok(Exit.isSuccess(yield* decode(1, 0)))
  }))))

test(
  "a batch of 150,000 rows is no list of arguments",
  { timeout: 60_000 },
  () =>
    run(Effect.scoped(Effect.gen(function* () {
      const arena = yield* Arena.make(layout({ placement: "fused" }), 2)
      const pages = Result.getOrThrow(Pages.make(arena, 150_000))
      const lookupTable = Array.from({ length: 150_000 }, (_, i) => i)
      const cacheLengths = lookupTable.map(() => 0)
      const all = Result.getOrThrow(Collection.of(pages, { lookupTable, cacheLengths }))
      const k = yield* floats("layers tokens keyHeads keyDim", 1, 1, 1, 4)
      const rows = { keys: k, values: { ...k, axes: "layers tokens valueHeads valueDim" as const } }
      const next = Result.getOrThrow(
        Collection.append(all, rows, lookupTable.map((i) => i === 7 ? 1 : 0)),
      )
      assert.equal(next.maxCacheLength, 1)
      const caches = lookupTable.map(() => KvCache.empty(arena))
      const stepped = yield* Lease.scoped(arena)(Program.run(
        KvCache.step(caches, cacheLengths, () => Effect.succeed({ value: 0 })),
      ))
      assert.equal(stepped.caches.length, 150_000)
    }))),
)

for (const { name, layer } of adapters) {
  test(
    `counts past 32 bits mean what they say [${name}]`,
    { timeout: 120_000 },
    () =>
      Effect.runPromise(Effect.provide(
        Effect.scoped(Effect.gen(function* () {
          const arena = yield* Arena.make(layout(), 8)
          const keys = yield* floats("layers tokens keyHeads keyDim", 1, 9, 1, 4)
          const values = { ...keys, axes: "layers tokens valueHeads valueDim" as const }
          const cache = Result.getOrThrow(KvCache.append(KvCache.empty(arena), { keys, values }))
          const attend = (window: Window) =>
            Effect.flatMap(
              Program.run(
                Attention.decode(tensor("batch numQHeads headDim", 1, 1, 4), [cache], { window }),
              ),
              ({ out }) => Gpu.read(out),
            )
          yield* Lease.scoped(arena)(Effect.gen(function* () {
            const all = yield* attend(Window.all)
            assert.deepEqual(yield* attend(Window.last(2 ** 32 + 2)), all)
            assert.deepEqual(yield* attend(Window.last(3, { sinks: 2 ** 32 })), all)
          }))
          const places = Uint32Array.from({ length: 128 }, (_, i) => i)
          const noise = () => Recording.fresh("u32", "batch two", [64, 2], places)
          const logits = () => Recording.fresh("f32", "batch vocab", [64, 8], new Float32Array(512))
          const draw = (topK: number) =>
            Effect.flatMap(
              Program.run(Tensor.sample(logits(), noise(), { temperature: 1, topK })),
              Gpu.read,
            )
          assert.deepEqual(yield* draw(2 ** 32 + 1), yield* draw(0))
        })),
        layer,
      )),
  )
}
