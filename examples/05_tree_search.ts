/** Beam search over forks: what falls out of the beam gives its blocks back with `Lease.keep`. */
import assert from "node:assert/strict"
import { Effect } from "effect"
import { Arena, Gpu, KvCache, Lease, Llama, Program, Tokenizer } from "../mod.ts"

const [width, length] = [3, 12]

interface Beam {
  readonly cache: KvCache.KvCache
  /** Its last one is not read yet. */
  readonly tokens: ReadonlyArray<number>
  /** Sum of log-probabilities. */
  readonly score: number
}

/** The `n` most probable tokens of a row of logits, with their log-probabilities. */
const best = (logits: Float32Array, n: number) => {
  const max = logits.reduce((m, x) => Math.max(m, x), -Infinity)
  const sum = max + Math.log(logits.reduce((s, x) => s + Math.exp(x - max), 0))
  return Array.from(logits, (x, id) => ({ id, log: x - sum }))
    .sort((a, b) => b.log - a.log)
    .slice(0, n)
}

const program = Effect.scoped(Effect.gen(function* () {
  const llama = yield* Llama.load()
  const { vocab } = llama.config
  const prompt = yield* Effect.fromResult(
    Tokenizer.encode(llama.tokenizer, "Blessed are the", { addSpecial: true }),
  )
  const arena = yield* Arena.make(
    yield* Effect.fromResult(Llama.layout(llama, { blockSize: 4 })),
    64,
  )
  const { numBlocks } = arena.ledgers[0]!
  let peak = 0

  /** Reads what each beam has not read, all in one step, and scores what could follow. */
  const extend = (beams: ReadonlyArray<Beam>, unread: ReadonlyArray<ReadonlyArray<number>>) =>
    Effect.scoped(Effect.gen(function* () {
      const { caches, value } = yield* Program.run(
        Llama.step(llama, beams.map(({ cache }) => cache), unread, ({ last }) => last),
      )
      const logits = yield* Gpu.read(value)
      return beams.flatMap((beam, row) =>
        best(logits.subarray(row * vocab, (row + 1) * vocab), width).map(({ id, log }): Beam => ({
          cache: caches[row]!, // every child of a beam is a fork of the same cache
          tokens: [...beam.tokens, id],
          score: beam.score + log,
        }))
      ).sort((a, b) => b.score - a.score).slice(0, width)
    }))

  return yield* Lease.scoped(arena)(Effect.gen(function* () {
    const root: Beam = { cache: KvCache.empty(arena), tokens: [], score: 0 }
    let beams = yield* extend([root], [prompt])
    for (let i = 1; i < length; i++) {
      beams = yield* extend(beams, beams.map(({ tokens }) => tokens.slice(-1)))
      peak = Math.max(peak, numBlocks - arena.ledgers[0]!.numFree)
      yield* Lease.keep(beams.map(({ cache }) => cache)) // the rest of the tree is free
    }
    for (const { tokens, score } of beams) {
      const text = yield* Effect.fromResult(Tokenizer.decode(llama.tokenizer, tokens))
      console.log(score.toFixed(3), JSON.stringify(text))
    }
    const kept = numBlocks - arena.ledgers[0]!.numFree
    console.log(`${kept} blocks hold ${width} beams; at most ${peak} were in use`)
    assert.ok(peak <= numBlocks / 2)
    return beams
  }))
}))

const beams = await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
assert.equal(beams.length, width)
assert.ok(beams[0]!.score >= beams[1]!.score)
