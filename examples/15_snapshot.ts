/** A conversation's cache outlives its arena: saved to a folder, restored elsewhere, and it goes on as it was. */
import assert from "node:assert/strict"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { Arena, Gpu, KvCache, Lease, Llama, Program, Snapshot, Tensor, Tokenizer } from "../mod.ts"

const text = "1 In the beginning God created the heaven and the earth. ".repeat(6)
const length = 24

const program = (folder: string) =>
  Effect.scoped(Effect.gen(function* () {
    const llama = yield* Llama.load()
    const prompt = yield* Effect.fromResult(
      Tokenizer.encode(llama.tokenizer, text, { addSpecial: true }),
    )
    const arenaOf = (blockSize: number) =>
      Effect.gen(function* () {
        const layout = yield* Effect.fromResult(Llama.layout(llama, { blockSize }))
        return yield* Arena.make(layout, Math.ceil(256 / blockSize))
      })

    /** Reads the tokens after a history, and as many more as it says itself. */
    const goOn = (history: Llama.History, unread: ReadonlyArray<number>, count: number) =>
      Effect.gen(function* () {
        let { cache } = history
        const tokens = [...history.tokens, ...unread]
        while (cache.length < history.tokens.length + unread.length + count - 1) {
          yield* Effect.scoped(Effect.gen(function* () {
            const { caches, value } = yield* Program.run(
              Llama.step(llama, [cache], [tokens.slice(cache.length)], ({ last }) =>
                Effect.flatMap(last, Tensor.argmax)),
            )
            cache = caches[0]!
            tokens.push((yield* Gpu.read(value))[0]!)
          }))
        }
        return { cache, tokens: tokens.slice(0, cache.length), next: tokens.at(-1)! }
      })

    // One process: it reads the prompt, saves, goes on, saves again.
    const first = yield* arenaOf(16)
    const said = yield* Lease.scoped(first)(Effect.gen(function* () {
      const start = { cache: KvCache.empty(first), tokens: [] }
      const read = yield* goOn(start, prompt, 1)
      const saved = yield* Llama.saveHistory(llama, folder, "monday", read)
      console.log(`monday: ${read.tokens.length} tokens, ${saved.blocks} blocks, all of them new`)
      assert.equal(saved.newBlocks, saved.blocks)
      const longer = yield* goOn(read, [read.next], length)
      const again = yield* Llama.saveHistory(llama, folder, "tuesday", longer)
      console.log(`tuesday: ${longer.tokens.length} tokens, ${again.newBlocks} new blocks`)
      assert.ok(again.newBlocks < again.blocks)
      return { ids: longer.tokens.slice(prompt.length), next: read.next }
    }))

    // Another, whose arena is divided otherwise: nothing is read again.
    const second = yield* arenaOf(5)
    return yield* Lease.scoped(second)(Effect.gen(function* () {
      const monday = yield* Llama.restoreHistory(llama, second, folder, "monday")
      const { tokens } = yield* goOn(monday, [said.next], length)
      const ids = tokens.slice(prompt.length)
      console.log(JSON.stringify(yield* Effect.fromResult(Tokenizer.decode(llama.tokenizer, ids))))
      assert.deepEqual(ids, said.ids) // as if it had never been away

      const narrow = yield* Effect.fromResult(
        Llama.layout(llama, { blockSize: 16, dtype: "int8" }),
      )
      const foreign = yield* Arena.make(narrow, 16)
      const snapshot = yield* Snapshot.open(folder, "tuesday")
      const error = yield* Effect.flip(Lease.scoped(foreign)(Snapshot.restore(foreign, snapshot)))
      console.log(error.message)
      assert.equal(error.message, "Cannot use a cache whose dtype is f32: int8 is needed")
      return ids
    }))
  }))

const folder = mkdtempSync(join(tmpdir(), "kvasir-example-"))
try {
  const ids = await Effect.runPromise(Effect.provide(program(folder), Gpu.layerCpu()))
  assert.equal(ids.length, length)
} finally {
  rmSync(folder, { recursive: true })
}
