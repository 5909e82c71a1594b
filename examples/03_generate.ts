/** Text as an Effect stream: every token goes through the immutable paged cache. */
import assert from "node:assert/strict"
import { Effect, Stream } from "effect"
import { Gpu, Llama } from "../mod.ts"

const program = Effect.scoped(Effect.gen(function* () {
  const llama = yield* Llama.load() // the tiny model that comes with the package
  const events = Llama.generate(llama, "In the beginning", { maxTokens: 12, temperature: 0 })
  return yield* Stream.runFold(
    events,
    () => "",
    (text, event) => event._tag === "Token" ? text + event.text : text,
  )
}))

const text = await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
assert.equal(text, " of the world, and the Lord Jesus Christ.\n1")
console.log(`In the beginning${text}`)
