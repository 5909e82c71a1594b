/** Speculative decoding: a draft is looked up in what was said, checked in one step, and kept as far as it holds. */
import assert from "node:assert/strict"
import { Effect } from "effect"
import { Arena, Gpu, KvCache, Lease, Llama, Program, Tensor, Tokenizer } from "../mod.ts"

const [length, draftLen] = [120, 6]

/** What followed the last two tokens the last time they stood there. */
const lookUp = (tokens: ReadonlyArray<number>): ReadonlyArray<number> => {
  const [a, b] = tokens.slice(-2)
  for (let i = tokens.length - 3; i > 0; i--) {
    if (tokens[i - 1] === a && tokens[i] === b) return tokens.slice(i + 1, i + 1 + draftLen)
  }
  return []
}

/** How much of the draft is what the model says itself. */
const accepted = (draft: ReadonlyArray<number>, said: ArrayLike<number>): number => {
  let n = 0
  while (n < draft.length && draft[n] === said[n]) n++
  return n
}

const program = Effect.scoped(Effect.gen(function* () {
  const llama = yield* Llama.load()
  const prompt = yield* Effect.fromResult(
    Tokenizer.encode(llama.tokenizer, "In the beginning", { addSpecial: true }),
  )
  const arena = yield* Arena.make(yield* Effect.fromResult(Llama.layout(llama)), 8)

  /** Greedy tokens after each of the new ones, and the cache with as many of them as hold. */
  const check = (
    cache: KvCache.KvCache,
    unread: ReadonlyArray<number>,
    draft: ReadonlyArray<number>,
  ) =>
    Effect.scoped(Program.run(
      Llama.step(llama, [cache], [[...unread, ...draft]], ({ every }) =>
        Effect.gen(function* () {
          const said = yield* Program.fetch(yield* Tensor.argmax(yield* every))
          const own = said.subarray(unread.length - 1)
          return [...own.subarray(0, accepted(draft, own) + 1)]
        }), {
        // The step keeps what holds: rejected rows leave no block and no copy behind.
        kept: (own) => [unread.length + own.length - 1],
      }),
    ))

  return yield* Lease.scoped(arena)(Effect.gen(function* () {
    let cache = KvCache.empty(arena)
    let unread = prompt
    const said: Array<number> = []
    let steps = 0
    while (said.length < length) {
      const draft = lookUp([...prompt, ...said])
      const next = yield* check(cache, unread, draft)
      steps++
      cache = next.caches[0]!
      said.push(...next.value)
      unread = next.value.slice(-1)
    }
    const text = yield* Effect.fromResult(Tokenizer.decode(llama.tokenizer, said))
    console.log(text)
    console.log(`${said.length} tokens in ${steps} steps`)
    assert.ok(steps < said.length * 0.6)
    return said.slice(0, length)
  }))
}))

const said = await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
// The same as decoding one token at a time.
assert.deepEqual(said.slice(0, 12), [270, 260, 1201, 13, 269, 260, 616, 639, 853, 15, 200, 18])
