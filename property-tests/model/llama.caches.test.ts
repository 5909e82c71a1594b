/** What a model computes does not depend on how its steps are cut, batched, shared or stored. @module */
import { Effect } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Arena, Gpu, KvCache, type Layout, Lease, Llama, Program, Tokenizer } from "../../mod.ts"
import { cpu, poisoned, property, speak, withModel } from "./llama.ts"

const ids = (most: number) =>
  fc.array(fc.integer({ min: 0, max: 2047 }), { minLength: 1, maxLength: most })

/** An arena of the model, and a lease around the program. */
const inArena = <A, E>(
  llama: Llama.Llama,
  options: {
    readonly blocks: number
    readonly blockSize?: number
    readonly dtype?: Layout.Storage
  },
  program: (arena: Arena) => Effect.Effect<A, E, Gpu.Gpu | Lease>,
) =>
  Effect.scoped(Effect.gen(function* () {
    const layout = yield* Effect.fromResult(Llama.layout(llama, options))
    const arena = yield* Arena.make(layout, options.blocks)
    return yield* Lease.scoped(arena)(program(arena))
  }))

/** One step: the next caches, and the logits of each row's last token. */
const read = (
  llama: Llama.Llama,
  caches: ReadonlyArray<KvCache>,
  tokens: ReadonlyArray<ReadonlyArray<number>>,
) =>
  Effect.scoped(Effect.gen(function* () {
    const { caches: next, value } = yield* Program.run(
      Llama.step(llama, caches, tokens, ({ last }) => last),
    )
    const { vocab } = llama.config
    const logits = yield* Gpu.read(value)
    return { next, logits: tokens.map((_, i) => logits.slice(i * vocab, (i + 1) * vocab)) }
  }))

/** The last logits of tokens read from nothing, at once. */
const scratch = (llama: Llama.Llama, arena: Arena, tokens: ReadonlyArray<number>) =>
  Effect.map(read(llama, [KvCache.empty(arena)], [tokens]), ({ logits }) => logits[0]!)

const encode = (llama: Llama.Llama, text: string) =>
  Effect.fromResult(Tokenizer.encode(llama.tokenizer, text, { addSpecial: true }))

const psalm = "Psalm 23\n1 The LORD is my shepherd; I shall not want.\n2 He maketh me to lie " +
  "down in green pastures: he leadeth me beside the still waters.\n3 He restoreth my soul: he " +
  "leadeth me in the paths of righteousness for his name's sake."

test("generate() gives the same logits, bit for bit, for every chunk size", {
  timeout: 60_000,
}, () =>
  withModel(poisoned, (llama) =>
    property(
      fc.tuple(ids(24), fc.integer({ min: 1, max: 24 })),
      ([prompt, chunk]) =>
        Effect.gen(function* () {
          const options = { temperature: 0, maxTokens: 2, topLogits: llama.config.vocab }
          const whole = yield* speak(llama, prompt, options)
          assert.deepEqual(yield* speak(llama, prompt, { ...options, chunk }), whole)
        }),
      6,
    )))

test("step() gives each row of a ragged batch what it has alone, bit for bit", {
  timeout: 60_000,
}, () =>
  withModel(poisoned, (llama) =>
    property(
      fc.array(fc.tuple(ids(10), ids(4)), { minLength: 2, maxLength: 4 }),
      (rows) =>
        inArena(llama, { blocks: 64, blockSize: 4 }, (arena) =>
          Effect.gen(function* () {
            const [first, second] = [rows.map(([a]) => a), rows.map(([, b]) => b)]
            const one = yield* read(llama, rows.map(() => KvCache.empty(arena)), first)
            const two = yield* read(llama, one.next, second)
            for (const [i, [a, b]] of rows.entries()) {
              assert.deepEqual(one.logits[i], yield* scratch(llama, arena, a))
              assert.deepEqual(two.logits[i], yield* scratch(llama, arena, [...a, ...b]))
            }
          })),
      5,
    )))

test("step() over two forks of one cache in one batch, and after a cut, reads what was read", {
  timeout: 60_000,
}, () =>
  withModel(poisoned, (llama) =>
    property(
      fc.tuple(ids(14), ids(3), ids(3), fc.nat(14)),
      ([prompt, left, right, at]) =>
        inArena(llama, { blocks: 64, blockSize: 4 }, (arena) =>
          Effect.gen(function* () {
            const { next: [cache] } = yield* read(llama, [KvCache.empty(arena)], [prompt])
            const forks = yield* read(llama, [cache!, cache!], [left, right])
            for (const [i, rest] of [left, right].entries()) {
              assert.deepEqual(forks.logits[i], yield* scratch(llama, arena, [...prompt, ...rest]))
            }
            const length = Math.min(at, prompt.length)
            const cut = yield* Effect.fromResult(KvCache.truncate(cache!, length))
            const { logits: [again] } = yield* read(llama, [cut], [right])
            const kept = [...prompt.slice(0, length), ...right]
            assert.deepEqual(again, yield* scratch(llama, arena, kept))
          })),
      5,
    )))

test(
  "step() under leases of their own shares a prompt's blocks and says what generate() says",
  {
    timeout: 60_000,
  },
  () =>
    withModel(cpu, (llama) =>
      inArena(llama, { blocks: 16 }, (arena) =>
        Effect.gen(function* () {
          const prompt = yield* encode(llama, psalm)
          const blocks = Math.ceil(prompt.length / arena.layout.blockSize)
          const shared = () => Arena.usage(arena)[0]!.shared
          const { next: [start] } = yield* read(llama, [KvCache.empty(arena)], [prompt])
          const request = (question: ReadonlyArray<number>) =>
            Effect.gen(function* () {
              const said: Array<number> = []
              let [cache, pending] = [start!, question]
              while (said.length < 10) {
                const { next, logits: [row] } = yield* read(llama, [cache], [pending])
                const id = row!.indexOf(Math.max(...row!))
                said.push(id)
                ;[cache, pending] = [next[0]!, [id]]
              }
              const options = { temperature: 0, maxTokens: 10, ignoreEos: true }
              const { tokens } = yield* speak(llama, [...prompt, ...question], options)
              assert.deepEqual(said, tokens)
              assert.equal(shared(), blocks)
            })
          assert.equal(shared(), 0)
          yield* Lease.scoped(arena)(Effect.gen(function* () {
            yield* request([200, 21])
            yield* Lease.scoped(arena)(request([200, 22, 222]))
          }))
          assert.equal(shared(), 0)
          const { free, numBlocks } = Arena.usage(arena)[0]!
          assert.equal(numBlocks - free, blocks)
        }))),
)

test(
  "step() of many rows refuses a pool that cannot hold them, and nothing has changed",
  {
    timeout: 60_000,
  },
  () =>
    withModel(
      cpu,
      (llama) =>
        inArena(llama, { blocks: 3, blockSize: 4 }, (arena) =>
          Effect.gen(function* () {
            const rows = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]
            const caches = rows.map(() => KvCache.empty(arena))
            const before = Arena.usage(arena)
            const { _tag, message } = yield* Effect.flip(read(llama, caches, rows))
            assert.equal(_tag, "OutOfBlocks")
            assert.equal(
              message,
              "Cannot place rows as they need 4 more blocks of layer group 0: 3 free of 3; " +
                "close a lease, keep fewer values or make a larger arena",
            )
            assert.deepEqual(Arena.usage(arena), before)
          })),
    ),
)

// Measured over 75 tokens of one psalm, logits of about ±18: 4.5e-3 in f16, 2.3e-2 in bf16, 1.1e-1 in int8.
for (const [dtype, bound] of [["f16", 2e-2], ["bf16", 1e-1], ["int8", 3e-1]] as const) {
  test(`step() over a cache in ${dtype} stays within ${bound} of one in f32`, {
    timeout: 60_000,
  }, () =>
    withModel(cpu, (llama) =>
      Effect.gen(function* () {
        const tokens = yield* encode(llama, psalm)
        const logits = (dtype: Layout.Storage) =>
          inArena(llama, { blocks: 8, dtype }, (arena) =>
            Effect.scoped(Effect.gen(function* () {
              const { value } = yield* Program.run(
                Llama.step(llama, [KvCache.empty(arena)], [tokens], ({ every }) => every),
              )
              return yield* Gpu.read(value)
            })))
        const [exact, rounded] = [yield* logits("f32"), yield* logits(dtype)]
        const error = exact.reduce((most, x, i) => Math.max(most, Math.abs(x - rounded[i]!)), 0)
        console.log(`a cache in ${dtype}: largest logit error ${error.toExponential(1)}`)
        assert.ok(error > 0 && error < bound, `${error}`)
      })))
}
