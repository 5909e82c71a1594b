/** What must hold on every device: the same program, unchanged, gives the same. @module */
import assert from "node:assert/strict"
import { Effect, Fiber, Result, Stream } from "effect"
import { Arena, Attention, Gpu, KvCache, Layout, Lease, Llama, Program, Tensor } from "../../mod.ts"
import { dequantised, quantised } from "../../testing/world/int8.ts"
import { everywhere } from "./everywhere.ts"

const wave = (n: number, seed: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => Math.fround(2 * Math.sin(seed + 12.9898 * i)))

const shape = { layers: 2, keyHeads: 2, keyDim: 6, valueHeads: 2, valueDim: 5 }

const rows = (tokens: number, seed: number) =>
  Effect.all({
    keys: Gpu.upload(
      "f32",
      "layers tokens keyHeads keyDim",
      { ...shape, tokens },
      wave(2 * tokens * 12, seed),
    ),
    values: Gpu.upload(
      "f32",
      "layers tokens valueHeads valueDim",
      { ...shape, tokens },
      wave(2 * tokens * 10, seed + 1),
    ),
  })

const stored = Effect.fnUntraced(function* (
  { keys, values }: Effect.Success<ReturnType<typeof rows>>,
  dtype: Layout.Given,
) {
  if (dtype === "f32") return { keys, values }
  return yield* Program.run(Effect.all({
    keys: Tensor.cast(keys, dtype),
    values: Tensor.cast(values, dtype),
  }))
})

/** Keys `[…, keyDim]` as an arena holds them. */
const held = (keys: Float32Array, dtype: Layout.Storage): Float32Array => {
  if (dtype !== "int8") return keys
  const out = new Float32Array(keys.length)
  for (let at = 0; at < keys.length; at += shape.keyDim) {
    out.set(dequantised(quantised([...keys.subarray(at, at + shape.keyDim)])), at)
  }
  return out
}

everywhere(
  "KvCache.gather() gives what was appended, on forks and after a copied block",
  () =>
    Effect.gen(function* () {
      for (const dtype of ["f32", "f16", "bf16", "int8"] as const) {
        yield* Effect.scoped(Effect.gen(function* () {
          const layout = yield* Effect.fromResult(Layout.make({ ...shape, blockSize: 5, dtype }))
          const arena = yield* Arena.make(layout, 12)
          const [a, b, c] = [yield* rows(7, 1), yield* rows(4, 2), yield* rows(3, 3)]
          const [sa, sb, sc] = [
            yield* stored(a, Layout.givenAs(layout)),
            yield* stored(b, Layout.givenAs(layout)),
            yield* stored(c, Layout.givenAs(layout)),
          ]
          yield* Lease.scoped(arena)(Effect.gen(function* () {
            const [left, right] = yield* Effect.fromResult(Result.gen(function* () {
              const base = yield* KvCache.append(KvCache.empty(arena), sa)
              return [yield* KvCache.append(base, sb), yield* KvCache.append(base, sc)] as const
            }))
            yield* Program.run(KvCache.realize([left, right]))
            for (const [cache, parts] of [[left, [sa, sb]], [right, [sa, sc]]] as const) {
              const { keys } = yield* Program.run(KvCache.gather(cache))
              const got = yield* Gpu.read(keys)
              let position = 0
              for (const part of parts) {
                const wide = part.keys.dtype === "f32"
                  ? part.keys as Tensor.Tensor<"f32", string>
                  : yield* Program.run(Tensor.cast(part.keys, "f32"))
                const want = held(yield* Gpu.read(wide), dtype)
                const tokens = part.keys.shape[1]!
                for (let layer = 0; layer < 2; layer++) {
                  const at = (layer * cache.length + position) * 12
                  assert.deepEqual(
                    got.slice(at, at + tokens * 12),
                    want.slice(layer * tokens * 12, (layer + 1) * tokens * 12),
                  )
                }
                position += tokens
              }
            }
          }))
        }))
      }
      assert.equal((yield* Gpu.live).buffers, 0)
    }),
)

everywhere(
  "Attention.prefill() over a paged cache equals dense attention",
  () =>
    Effect.scoped(Effect.gen(function* () {
      const layout = yield* Effect.fromResult(Layout.make({ ...shape, blockSize: 3 }))
      const arena = yield* Arena.make(layout, 10)
      const given = yield* rows(20, 5)
      const q = wave(4 * 6 * 6, 9)
      const query = yield* Gpu.upload(
        "f32",
        "tokens numQHeads headDim",
        { tokens: 4, numQHeads: 6, headDim: 6 },
        q,
      )
      const cache = yield* Effect.fromResult(KvCache.append(KvCache.empty(arena), given))
      const { out, lse } = yield* Lease.scoped(arena)(
        Effect.flatMap(
          Program.run(Attention.prefill(query, [cache], [4], { layer: 1, softCap: 3 })),
          ({ out, lse }) => Effect.all({ out: Gpu.read(out), lse: Gpu.read(lse) }),
        ),
      )
      const sizes = { queryLen: 4, contextLen: 20, numQHeads: 6, keyHeads: 2, valueHeads: 2 }
      const dense = Attention.dense({
        ...sizes,
        q,
        k: wave(2 * 20 * 12, 5).subarray(20 * 12),
        v: wave(2 * 20 * 10, 6).subarray(20 * 10),
        keyDim: 6,
        valueDim: 5,
      }, { softCap: 3 })
      for (const [i, x] of dense.out.entries()) assert.ok(Math.abs(x - out[i]!) < 1e-5)
      for (const [i, x] of dense.lse.entries()) assert.ok(Math.abs(x - lse[i]!) < 1e-5)
    })),
)

everywhere(
  "Llama.generate() says what the CPU says, greedy and drawn, and leaves no buffer",
  () =>
    Effect.gen(function* () {
      yield* Effect.scoped(Effect.gen(function* () {
        const llama = yield* Llama.load()
        for (
          const [options, expected] of [
            [{ temperature: 0 }, [270, 260, 1201, 13, 269, 260, 616, 639, 853, 15, 200, 18]],
            [{ seed: 5 }, drawn],
          ] as const
        ) {
          const events = Llama.generate(llama, "In the beginning", { ...options, maxTokens: 12 })
          const ids = yield* Stream.runFold(
            events,
            (): Array<number> => [],
            (ids, event) => event._tag === "Token" ? [...ids, event.id] : ids,
          )
          assert.deepEqual(ids, expected)
        }
      }))
      assert.deepEqual(yield* Gpu.live, { buffers: 0, bytes: 0 })
    }),
)

/** What seed 5 draws on the CPU. */
const drawn: ReadonlyArray<number> = await Effect.runPromise(
  Effect.provide(
    Effect.scoped(Effect.gen(function* () {
      const llama = yield* Llama.load()
      const events = Llama.generate(llama, "In the beginning", { seed: 5, maxTokens: 12 })
      const all = yield* Stream.runCollect(events)
      return all.flatMap((event) => event._tag === "Token" ? [event.id] : [])
    })),
    Gpu.layerCpu(),
  ),
)

everywhere(
  "Llama.generate() interrupted anywhere leaves no live buffer",
  () =>
    Effect.gen(function* () {
      for (const heard of [1, 2, 4, 9]) {
        yield* Effect.scoped(Effect.gen(function* () {
          const llama = yield* Llama.load()
          const before = yield* Gpu.live
          let events = 0
          const fiber = yield* Effect.forkChild(
            Stream.runForEach(
              Llama.generate(llama, "And it came to pass", { temperature: 0, chunk: 3 }),
              () => Effect.sync(() => events++),
            ),
          )
          while (events < heard) yield* Effect.sleep(1)
          yield* Fiber.interrupt(fiber)
          assert.deepEqual(yield* Gpu.live, before)
        }))
        assert.equal((yield* Gpu.live).buffers, 0)
      }
    }),
)

everywhere(
  "Program.replay() runs a captured recording with other inputs, and stales what it gave",
  () =>
    Effect.gen(function* () {
      yield* Effect.scoped(Effect.gen(function* () {
        const two = { n: 2 }
        const program = yield* Program.capture(
          { x: Program.tensor("f32", "n", two), y: Program.tensor("f32", "n", two) },
          ({ x, y }) => Effect.flatMap(Tensor.add(x, y), (sum) => Tensor.mul(sum, y)),
        )
        const first = yield* Program.run(
          Program.replay(program, { x: Float32Array.of(1, 2), y: Float32Array.of(3, 4) }),
        )
        assert.deepEqual([...yield* Gpu.read(first)], [12, 24])
        // An input that is left out keeps its values.
        const second = yield* Program.run(Program.replay(program, { x: Float32Array.of(0, 1) }))
        assert.deepEqual([...yield* Gpu.read(second)], [9, 20])
        assert.equal((yield* Effect.flip(Gpu.read(first)))._tag, "StaleTensor")
        const twice = Effect.all([Program.replay(program, {}), Program.replay(program, {})])
        const refused = yield* Effect.flip(Program.run(twice))
        assert.match(refused.message, /^Cannot take 2 as the number of replays of a program/)
        const length = yield* Effect.flip(
          Program.run(Program.replay(program, { x: new Float32Array(3) })),
        )
        assert.equal(length.message, 'Cannot bind axis "n" of x to 2: it is 3')
      }))
      assert.equal((yield* Gpu.live).buffers, 0)
    }),
)

everywhere(
  "Program.begin() sends the next submit before the values of the last are awaited",
  () =>
    Effect.scoped(Effect.gen(function* () {
      const x = yield* Gpu.upload("f32", "n", { n: 1 }, Float32Array.of(1))
      const program = yield* Program.capture(
        { x: Program.tensor("f32", "n", { n: 1 }) },
        ({ x }) => Tensor.add(x, x),
      )
      const values = yield* Program.run(Effect.gen(function* () {
        const pending = []
        for (let i = 0; i < 5; i++) {
          pending.push(
            yield* Program.begin(yield* Program.replay(program, { x: Float32Array.of(i) })),
          )
        }
        return yield* Effect.all(pending)
      }))
      assert.deepEqual(values.map(([value]) => value), [0, 2, 4, 6, 8])
      assert.equal((yield* Gpu.read(x))[0], 1)
    })),
)
