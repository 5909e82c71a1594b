/** Models that read and speak, before a hostile caller. @module */
import { Effect, Result, Stream } from "effect"
import {
  Arena,
  KvCache,
  Lease,
  Llama,
  Program,
  Recording,
  Snapshot,
  Tokenizer,
} from "../../../mod.ts"
import { type Door, door, type Plan } from "../door.ts"
import { placed, readCaches, tensor } from "./values.ts"

const sampling = { temperature: 0.8, topK: 5, topP: 0.9, minP: 0.05, seed: 3 }
const asked = { ...sampling, maxTokens: 2, topLogits: 2, cacheBlocks: 2, chunk: 4 }

const source = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
const template = Result.succeed({ file: "a test", offset: 0, source })

const speaking = (llama: Llama): ReadonlyArray<Door> => [
  door(
    "Llama.generate",
    (prompt: ReadonlyArray<number>, options: Llama.GenerateOptions) =>
      Llama.generate(llama, prompt, options),
    () => [[1, 2], asked],
    { alone: true },
  ),
  door(
    "Llama.chat",
    (options: Llama.ChatOptions) => Llama.chat(llama, "In", options),
    () => [asked],
    { alone: true },
  ),
  door(
    "Llama.converse",
    (options: Llama.ConverseOptions) => Effect.as(Llama.converse(llama, options), 0),
    () => [{ contextTokens: 32, chunk: 4 }],
    { alone: true },
  ),
  door(
    "Llama.say",
    (options: Llama.GenerateOptions) =>
      Effect.flatMap(
        Llama.converse(llama, { contextTokens: 32 }),
        (conversation) => Effect.as(Stream.runDrain(Llama.say(conversation, "In", options)), 0),
      ),
    () => [asked],
    { alone: true },
  ),
  door("Llama.score", (ids: ReadonlyArray<number>) => Llama.score(llama, ids), () => [[1, 2, 3]], {
    alone: true,
  }),
  door("Llama.layout", Llama.layout, () => [llama, { blockSize: 8 }]),
  door(
    "Llama.layoutOf",
    (blockSize: number) => Llama.layoutOf(llama.config, { blockSize }),
    () => [8],
  ),
  door(
    "Llama.choose",
    (options: Llama.Sampling) =>
      Llama.choose(
        tensor("batch vocab", 1, 8),
        Recording.fresh("u32", "batch two", [1, 2], Uint32Array.of(1, 2)),
        options,
      ),
    () => [sampling],
  ),
  door("Tokenizer.decode", Tokenizer.decode, () => [llama.tokenizer, [1, 2]]),
  door("Tokenizer.piece", Tokenizer.piece, () => [llama.tokenizer, 1]),
  door(
    "Tokenizer.push",
    (id: number) => Tokenizer.push(llama.tokenizer, Tokenizer.decoder, id),
    () => [1],
  ),
]

const stepping = (llama: Llama, arena: Arena, x: KvCache): ReadonlyArray<Door> => {
  const chained = { ...sampling, steps: 2 }
  const decode = (options: Llama.ChainOptions, token: number, count: number, ahead: number) =>
    Effect.scoped(Effect.gen(function* () {
      const chain = yield* Llama.chain(llama, arena, options)
      const hear = () => Effect.succeed(true)
      return yield* Program.run(Llama.decode(chain, x, token, { count, ahead, hear }))
    }))
  return [
    door(
      "Llama.step",
      (tokens: ReadonlyArray<ReadonlyArray<number>>, kept: ReadonlyArray<number>) =>
        Llama.step(llama, [x], tokens, ({ last }) => last, { kept: () => kept }),
      () => [[[1, 2]], [1]],
    ),
    door(
      "Llama.rebuild",
      (tokens: ReadonlyArray<number>) => Llama.rebuild(llama, arena, tokens),
      () => [[1, 2]],
      { alone: true },
    ),
    door(
      "Llama.chain",
      (options: Llama.ChainOptions) => Effect.as(Llama.chain(llama, arena, options), 0),
      () => [chained],
      { alone: true },
    ),
    door("Llama.decode", decode, () => [chained, 1, 3, 1], { alone: true }),
    door(
      "Llama.replay",
      (offset: number, count: number, token: number) =>
        Effect.scoped(
          Effect.flatMap(Llama.chain(llama, arena, chained), (chain) =>
            Program.run(KvCache.step([x], [4], (step) =>
              Effect.map(Llama.replay(chain, step, offset, count, token), () => ({ value: 0 }))))),
        ),
      () => [0, 2, 1],
      { alone: true },
    ),
    door(
      "Snapshot.take",
      (about: Snapshot.About) => Effect.map(Snapshot.take(x, about), Snapshot.encode),
      () => [{ tokens: [1, 2, 3], blockTokens: 64 }],
      { alone: true },
    ),
  ]
}

/** The embedded model, and a cache of three tokens. */
export const room: Plan = Effect.gen(function* () {
  const llama = { ...yield* Llama.load(), template }
  const arena = yield* Arena.make(Result.getOrThrow(Llama.layout(llama, { blockSize: 4 })), 8)
  const lease = yield* Lease.make(arena)
  const x = yield* Lease.under(lease)(Llama.rebuild(llama, arena, [1, 2, 3]))
  yield* placed(lease, [x])
  return {
    doors: [...speaking(llama), ...stepping(llama, arena, x)],
    arenas: [arena],
    read: readCaches(lease, [x]),
  }
})
