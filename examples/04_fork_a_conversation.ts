/** One prompt, four continuations: the prompt is read once, and its blocks are shared. */
import assert from "node:assert/strict"
import { Effect } from "effect"
import { Arena, Gpu, KvCache, Lease, Llama, Program, Tensor, Tokenizer } from "../mod.ts"

const text =
  "1 And it came to pass in those days, that there went out a decree from the king, saying,"
const seeds = [11, 22, 33, 44]
const length = 16

const program = Effect.scoped(Effect.gen(function* () {
  const llama = yield* Llama.load()
  const prompt = yield* Effect.fromResult(
    Tokenizer.encode(llama.tokenizer, text, { addSpecial: true }),
  )
  const layout = yield* Effect.fromResult(Llama.layout(llama, { blockSize: 8 }))
  const arena = yield* Arena.make(layout, 32)
  const used = () => arena.ledgers[0]!.numBlocks - arena.ledgers[0]!.numFree

  /** Reads tokens after each cache and draws the next of each row, by the row's own seed. */
  const draw = (
    caches: ReadonlyArray<KvCache.KvCache>,
    tokens: ReadonlyArray<ReadonlyArray<number>>,
  ) =>
    Effect.scoped(Effect.gen(function* () {
      const { caches: next, value } = yield* Program.run(
        Llama.step(llama, caches, tokens, ({ last }) =>
          Effect.gen(function* () {
            const noise = caches.flatMap((cache, i) => [
              seeds[i]!,
              cache.length + tokens[i]!.length,
            ])
            const sizes = { batch: caches.length, two: 2 }
            return yield* Llama.choose(
              yield* last,
              yield* Tensor.constant("u32", "batch two", sizes, Uint32Array.from(noise)),
              { temperature: 0.9 },
            )
          })),
      )
      return { caches: next, ids: [...yield* Gpu.read(value)] }
    }))

  return yield* Lease.scoped(arena)(Effect.gen(function* () {
    // The prompt but for its last token, once.
    const read = yield* draw([KvCache.empty(arena)], [prompt.slice(0, -1)])
    const prefix = read.caches[0]!
    const prefixBlocks = used()

    // A fork is an assignment. The four rows decode together, one step a token.
    let rows: ReadonlyArray<KvCache.KvCache> = seeds.map(() => prefix)
    let tokens: ReadonlyArray<ReadonlyArray<number>> = seeds.map(() => prompt.slice(-1))
    const said: ReadonlyArray<Array<number>> = seeds.map(() => [])
    for (let i = 0; i < length; i++) {
      const next = yield* draw(rows, tokens)
      rows = next.caches
      tokens = next.ids.map((id) => [id])
      next.ids.forEach((id, row) => said[row]!.push(id))
    }

    const alone = Math.ceil((prompt.length - 1 + length) / layout.blockSize)
    for (const ids of said) {
      console.log(JSON.stringify(yield* Effect.fromResult(Tokenizer.decode(llama.tokenizer, ids))))
    }
    console.log(`prompt: ${prompt.length} tokens in ${prefixBlocks} blocks, read once`)
    console.log(`four rows: ${used()} blocks; without sharing ${seeds.length * alone}`)
    assert.ok(used() < prefixBlocks + seeds.length * Math.ceil((length + 1) / layout.blockSize + 1))
    assert.equal(new Set(said.map((ids) => ids.join())).size, seeds.length) // they differ
    assert.equal(prefix.length, prompt.length - 1) // and the prompt is as it was
    return said
  }))
}))

const said = await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
assert.deepEqual(said.map((ids) => ids.length), [length, length, length, length])
