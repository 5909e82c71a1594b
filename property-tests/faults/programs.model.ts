/** What faults and interruptions are tried on, of the model and of snapshots: each from its beginning to its end. @module */
import { Effect, Result, Stream } from "effect"
import assert from "node:assert/strict"
import { Arena, Gpu, KvCache, Lease, Llama, Program, Snapshot } from "../../mod.ts"
import { gather } from "../../testing/world/readings.ts"
import * as Disk from "../snapshot/disk.ts"
import type { Case } from "./programs.ts"
import { type Act, atomic, readings, type Stage } from "./stage.ts"

const greedy = { temperature: 0, ignoreEos: true }

/** The embedded model with a template, so that it chats. */
const model = Effect.map(Llama.load(), (llama): Llama => {
  const source = "{{ bos_token }}{% for m in messages %}{{ m.content }}\n{% endfor %}"
  return { ...llama, template: Result.succeed({ file: "a test", offset: 0, source }) }
})

/** What a stream of events says. */
const said = <E, R>(
  stream: Stream.Stream<Llama.Event | Llama.Answered | Llama.Answer, E, R>,
): Effect.Effect<ReadonlyArray<number>, E, R> =>
  Effect.map(
    Stream.runCollect(stream),
    (events) => events.flatMap((event) => event._tag === "Token" ? [event.id] : []),
  )

/** A prompt of two chunks, and tokens of two runs of a chain. */
const generated = (): Act =>
  Effect.gen(function* () {
    const llama = yield* model
    const prompt = [0, 42, 79, 260, 1828]
    return yield* said(Llama.generate(llama, prompt, { ...greedy, chunk: 3, maxTokens: 11 }))
  })

/** Two questions over one cache. */
const conversed = (): Act =>
  Effect.gen(function* () {
    const llama = yield* model
    const first = yield* Llama.converse(llama, { contextTokens: 64 })
    const events = yield* Stream.runCollect(Llama.say(first, "In", { ...greedy, maxTokens: 3 }))
    const last = events.at(-1)!
    assert.ok(last._tag === "Answered" && "conversation" in last)
    const more = Llama.say(last.conversation, "And", { ...greedy, maxTokens: 3 })
    return [last.text, yield* said(more)]
  })

const chatted = (): Act =>
  Effect.flatMap(model, (llama) => said(Llama.chat(llama, "Who?", { ...greedy, maxTokens: 3 })))

/** Reads tokens again, as after a loss. */
const rebuilt = (): Act =>
  Effect.gen(function* () {
    const llama = yield* model
    const layout = yield* Effect.fromResult(Llama.layout(llama))
    const arena = yield* Arena.make(layout, 6)
    return yield* Lease.scoped(arena)(Effect.gen(function* () {
      const tokens = Array.from({ length: 70 }, (_, i) => 300 + i)
      const cache = yield* atomic({ arena, landed: [] })(Llama.rebuild(llama, arena, tokens))
      const { keys } = yield* Program.run(KvCache.gather(cache))
      return [...yield* Gpu.read(keys)]
    }))
  })

/**
 * Saves a second state over a first, and restores it. A save that fails or is interrupted leaves the one or the other,
 * whole.
 */
const saved = ({ older: [first, , , owed], ...stage }: Stage): Act =>
  Effect.gen(function* () {
    const disk = Disk.make()
    const about = { blockTokens: 3, model: "m" }
    const save = (cache: KvCache) =>
      Effect.provideService(
        Snapshot.save("at", "one", cache, about),
        Snapshot.Files.Service,
        disk.files,
      )
    const restored = Effect.gen(function* () {
      const opened = yield* Snapshot.open("at", "one")
      for (const [group, blocks] of opened.header.blocks.entries()) {
        for (const i of blocks.keys()) yield* opened.block(group, i)
      }
      return opened
    }).pipe(Effect.provideService(Snapshot.Files.Service, disk.files))
    yield* save(first!.cache)
    const whole = Effect.map(
      Effect.orDie(restored),
      ({ header: { length } }) =>
        assert.ok(length === first!.cache.length || length === owed!.cache.length),
    )
    yield* Effect.onError(save(owed!.cache), () => whole)
    const { arena } = stage
    const snapshot = yield* restored
    const back = yield* atomic({ arena, landed: [] })(
      Snapshot.restore(arena, snapshot).pipe(
        Effect.provideService(Snapshot.Files.Service, disk.files),
      ),
    )
    return yield* readings(stage, gather({ cache: back.cache, rows: owed!.rows }))
  })

/** Those of the model and of snapshots. */
export const heavy: ReadonlyArray<Case> = [
  { name: "generate", act: generated },
  { name: "converse", act: conversed },
  { name: "chat", act: chatted },
  { name: "rebuild", act: rebuilt },
]

/** Saving and restoring. */
export const snapshots: ReadonlyArray<Case> = [{ name: "snapshot", act: saved }]
