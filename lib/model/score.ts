/** How probable a model finds a text. @module */
import { Effect } from "effect"
import * as Arena from "../cache/Arena.ts"
import * as KvCache from "../cache/KvCache.ts"
import * as Lease from "../cache/Lease.ts"
import * as Gpu from "../device/Gpu.ts"
import * as Program from "../device/Program.ts"
import { type ArenaTooLarge, ContextTooLong, InvalidArgument } from "../errors.ts"
import { layout, type Llama } from "./load.ts"
import { type ModelError, step } from "./read.ts"
import { blocksOf, slide } from "./slide.ts"
import { logsumexp } from "./top.ts"

/** Of each token after the first. */
export interface Score {
  /** Negative log-likelihood, nats. */
  readonly nll: ReadonlyArray<number>
  /** Natural log of the sum of exponentials of the logits it was scored by. */
  readonly logsumexp: ReadonlyArray<number>
  readonly meanNll: number
}

/** What scoring may fail with. */
export type ScoreError = ModelError | ContextTooLong | ArenaTooLarge | Program.RunError

/** Tokens read in one step: bounds the memory of their logits. */
const chunk = 64

/** Scores token ids, BOS included if there is to be one. O(tokens) steps of 64 tokens. */
export const score = (
  llama: Llama,
  ids: ReadonlyArray<number>,
): Effect.Effect<Score, ScoreError, Gpu.Gpu> =>
  Effect.scoped(Effect.gen(function* () {
    const { context, vocab } = llama.config
    if (ids.length < 2) {
      const need = "at least two tokens, as the first has nothing before it"
      return yield* new InvalidArgument({ name: "number of tokens", value: ids.length, need })
    }
    // By place: what is found may be a hole.
    const outside = ids.findIndex((id) => !(Number.isSafeInteger(id) && id >= 0 && id < vocab))
    if (outside >= 0) {
      const value = ids[outside] ?? "nothing"
      const need = `a whole number from 0 to ${vocab - 1}`
      return yield* new InvalidArgument({ name: "a token id", value, need })
    }
    // The last token is scored, not read.
    if (ids.length > context + 1) {
      return yield* new ContextTooLong({ tokens: ids.length, context })
    }
    const blockSize = 16
    const layoutOf = yield* Effect.fromResult(layout(llama, { blockSize }))
    const blocks = Math.ceil((ids.length - 1) / blockSize)
    const arena = yield* Arena.make(layoutOf, blocksOf(layoutOf, blocks, chunk))
    const nll: Array<number> = []
    const sums: Array<number> = []
    yield* Lease.scoped(arena)(Effect.gen(function* () {
      let cache = KvCache.empty(arena)
      for (let from = 0; from < ids.length - 1; from += chunk) {
        const now = ids.slice(from, Math.min(from + chunk, ids.length - 1))
        cache = yield* Effect.scoped(Effect.gen(function* () {
          const { caches, value } = yield* Program.run(
            step(llama, [cache], [now], ({ every }) => every),
          )
          const logits = yield* Gpu.read(value)
          for (const i of now.keys()) {
            const row = logits.subarray(i * vocab, (i + 1) * vocab)
            const sum = logsumexp(row)
            sums.push(sum)
            nll.push(sum - row[ids[from + i + 1]!]!)
          }
          return yield* slide(caches[0]!)
        }))
      }
    }))
    const meanNll = nll.reduce((total, x) => total + x, 0) / nll.length
    return { nll, logsumexp: sums, meanNll }
  }))
