/** The embedded model in tests: one generation, collected. @module */
import { Effect, type Layer, Stream } from "effect"
import fc from "fast-check"
import { Gpu, Llama } from "../../mod.ts"

/** Everything a stream said. */
export interface Speech {
  readonly prompt: ReadonlyArray<number>
  readonly tokens: ReadonlyArray<number>
  readonly text: string
  readonly topLogits: ReadonlyArray<ReadonlyArray<readonly [id: number, logit: number]>>
  readonly stopped: Llama.Stopped
}

/** Runs a generation to its end. */
export const speak = (
  llama: Llama,
  prompt: string | ReadonlyArray<number>,
  options: Llama.GenerateOptions,
): Effect.Effect<Speech, Llama.GenerateError, Gpu> =>
  Effect.map(Stream.runCollect(Llama.generate(llama, prompt, options)), (events) => {
    const said = events.filter((event) => event._tag === "Token")
    const ends = events.filter((event) => event._tag === "End")
    if (ends.length !== 1 || events.at(-1) !== ends[0]) throw new Error("a stream ends once, last")
    const [{ stopped, text }] = ends as [typeof ends[0] & object]
    return {
      prompt: events.find((event) => event._tag === "Prompt")!.ids,
      tokens: said.map(({ id }) => id),
      text: said.map((event) => event.text).join("") + text,
      topLogits: said.map(({ topLogits }) => topLogits),
      stopped,
    }
  })

/** The CPU as users have it. */
export const cpu: Layer.Layer<Gpu> = Gpu.layerCpu()

/** A CPU whose unwritten memory is poisoned. */
export const poisoned: Layer.Layer<Gpu> = Gpu.layerCpu({ poison: true })

/** Runs a test's program with the embedded model on a device of its own; nothing may stay behind. */
export const withModel = <A, E>(
  layer: Layer.Layer<Gpu>,
  program: (llama: Llama) => Effect.Effect<A, E, Gpu>,
): Promise<A> =>
  Effect.runPromise(Effect.provide(
    Effect.gen(function* () {
      const value = yield* Effect.scoped(Effect.flatMap(Llama.load(), program))
      const { buffers, bytes } = yield* Gpu.live
      if (buffers + bytes > 0) throw new Error(`${buffers} buffers of ${bytes} bytes stay alive`)
      return value
    }),
    layer,
  ))

/** A property of the same model on the same device. */
export const property = <T, E>(
  values: fc.Arbitrary<T>,
  holds: (value: T) => Effect.Effect<void, E, Gpu>,
  numRuns: number,
): Effect.Effect<void, never, Gpu> =>
  Effect.flatMap(Effect.context<Gpu>(), (context) =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(values, (value) => Effect.runPromiseWith(context)(holds(value))),
        { numRuns },
      )
    ))

/** The same with a window on every layer but each second one. */
export const windowed = (llama: Llama): Llama => {
  const { theta } = llama.config
  return { ...llama, config: { ...llama.config, window: 24, windows: { every: 2, theta } } }
}
