/** A model on a device whose buffers are too small for its weights. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { Effect } from "effect"
import { Gpu, Llama } from "../../mod.ts"
import { adapters } from "../adapters.ts"
import { speak, type Speech } from "./llama.ts"

/** Loads with buffers of at most so many bytes, and speaks with as much memory as there is. */
const spoken = (maxBufferBytes: number): Effect.Effect<Speech, unknown, Gpu> =>
  Effect.scoped(Effect.gen(function* () {
    const gpu = yield* Gpu.Service
    const small = { ...gpu, limits: { maxBufferBytes } }
    const llama = yield* Effect.provideService(Llama.load(), Gpu.Service, small)
    assert.equal("parts" in llama.weights.embed, maxBufferBytes < gpu.limits.maxBufferBytes)
    return yield* speak(llama, "In the beginning", { temperature: 0, maxTokens: 8 })
  }))

for (const { name, layer } of adapters) {
  test(
    `generate says the same of weights in many parts (${name})`,
    { timeout: 60_000 },
    async () => {
      const [whole, parts] = await Effect.runPromise(
        Effect.provide(
          Effect.gen(function* () {
            const { limits } = yield* Gpu.Service
            // The table has 417,792 bytes, the largest other weight 104,448.
            return [yield* spoken(limits.maxBufferBytes), yield* spoken(50_000)] as const
          }),
          layer,
        ),
      )
      assert.deepEqual(parts.tokens, whole.tokens)
      assert.equal(whole.tokens.length, 8)
    },
  )
}
