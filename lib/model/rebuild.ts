/** A cache made again from its tokens. @module */
import { Effect } from "effect"
import * as KvCache from "../cache/KvCache.ts"
import type * as Arena from "../cache/Arena.ts"
import type * as Lease from "../cache/Lease.ts"
import * as Program from "../device/Program.ts"
import type { Gpu } from "../device/service.ts"
import type { Llama } from "./load.ts"
import { type ModelError, step } from "./read.ts"
import { slide } from "./slide.ts"

/** Tokens read in one step: bounds the memory of their activations. */
const chunk = 64

/**
 * Reads tokens into an empty cache, as after a device was lost: the model is loaded on a new device, and each
 * sequence is read again from its tokens. The rows are those that reading them the first time made. The
 * ambient lease holds the blocks. One step for every 64 tokens; no logits are computed.
 */
export const rebuild = (
  llama: Llama,
  arena: Arena.Arena,
  tokens: ReadonlyArray<number>,
): Effect.Effect<KvCache.KvCache, ModelError | Program.RunError, Lease.Lease | Gpu> =>
  Effect.gen(function* () {
    let cache = KvCache.empty(arena)
    for (let from = 0; from < tokens.length; from += chunk) {
      const now = tokens.slice(from, from + chunk)
      const read = step(llama, [cache], [now], () => Effect.succeed(undefined))
      cache = yield* slide((yield* Effect.scoped(Program.run(read))).caches[0]!)
    }
    return cache
  })
