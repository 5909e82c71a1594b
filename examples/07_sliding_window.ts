/** Two layers, one with a window: its blocks go as the window moves on, the other layer keeps its own. */
import assert from "node:assert/strict"
import { Effect, Result } from "effect"
import { Arena, Attention, Gpu, KvCache, Layout, Lease, Program, Window } from "../mod.ts"

const [window, tokens, dim] = [8, 40, 4]

const layout = Result.getOrThrow(Layout.make({
  layers: 2,
  groups: [{ layers: [0], window: undefined }, { layers: [1], window }],
  keyHeads: 1,
  keyDim: dim,
  blockSize: 4,
}))

/** Numbers that look random and are the same every time; token t of a layer has its own four. */
const numbers = (seed: number) =>
  Float32Array.from({ length: 2 * tokens * dim }, (_, i) => Math.sin(seed + 12.9898 * i))
const [k, v] = [numbers(1), numbers(2)]
const row = (of: Float32Array, t: number) =>
  Float32Array.from([0, 1].flatMap((layer) => {
    const at = (layer * tokens + t) * dim
    return [...of.subarray(at, at + dim)]
  }))

const program = Effect.scoped(Effect.gen(function* () {
  const arena = yield* Arena.make(layout, [10, 4]) // four blocks are enough for any number of tokens
  const q = Float32Array.of(1, -1, 0.5, 2)
  const query = yield* Gpu.upload(
    "f32",
    "batch numQHeads headDim",
    { batch: 1, numQHeads: 1, headDim: dim },
    q,
  )
  const used = () => arena.ledgers.map(({ numBlocks, numFree }) => numBlocks - numFree)

  yield* Lease.scoped(arena)(Effect.gen(function* () {
    let cache = KvCache.empty(arena)
    for (let t = 0; t < tokens; t++) {
      cache = yield* Effect.scoped(Effect.gen(function* () {
        const sizes = { layers: 2, tokens: 1, keyHeads: 1, keyDim: dim }
        const keys = yield* Gpu.upload("f32", "layers tokens keyHeads keyDim", sizes, row(k, t))
        const values = yield* Gpu.upload("f32", "layers tokens valueHeads valueDim", {
          layers: 2,
          tokens: 1,
          valueHeads: 1,
          valueDim: dim,
        }, row(v, t))
        const next = yield* Effect.fromResult(Result.gen(function* () {
          const longer = yield* KvCache.append(cache, { keys, values })
          // Positions the window will never see again; blocks go when nothing kept sees them.
          return yield* KvCache.dropBefore(longer, Math.max(0, t + 1 - window), 1)
        }))
        yield* Program.run(KvCache.realize([next]))
        yield* Lease.keep([next])
        return next
      }))
      assert.ok(used()[1]! <= window / layout.blockSize + 1)
    }
    console.log(`${tokens} tokens: ${used()[0]} blocks in full, ${used()[1]} in the window's layer`)
    assert.deepEqual(used(), [10, 2])

    // The windowed layer attends to its last 8, by itself.
    const { out } = yield* Program.run(Attention.decode(query, [cache], { layer: 1 }))
    const { out: dense } = Attention.dense({
      q,
      k: k.subarray(tokens * dim),
      v: v.subarray(tokens * dim),
      queryLen: 1,
      contextLen: tokens,
      numQHeads: 1,
      keyHeads: 1,
      valueHeads: 1,
      keyDim: dim,
      valueDim: dim,
    }, { window: Window.last(window) })
    ;[...yield* Gpu.read(out)].forEach((x, i) => assert.ok(Math.abs(x - dense[i]!) < 1e-6))

    // A longer window is refused: what it needs is gone, and it is never silently shorter.
    const wider = Attention.decode(query, [cache], { layer: 1, window: Window.last(16) })
    const refused = yield* Effect.flip(Program.run(wider))
    console.log(refused.message)
    assert.equal(refused._tag, "InvalidArgument")
  }))
}))

await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
