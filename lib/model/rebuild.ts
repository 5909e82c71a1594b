/** A cache made again from its tokens. @module */
import { Effect } from "effect"
import * as KvCache from "../cache/KvCache.ts"
import type * as Arena from "../cache/Arena.ts"
import * as Lease from "../cache/Lease.ts"
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
 * ambient lease holds the cache, besides what it held; where it fails, everything is as before. One step for every 64
 * tokens; no logits are computed.
 */
export const rebuild = (
  llama: Llama,
  arena: Arena.Arena,
  tokens: ReadonlyArray<number>,
): Effect.Effect<KvCache.KvCache, ModelError | Program.RunError, Lease.Lease | Gpu> =>
  Effect.scoped(Effect.gen(function* () {
    let cache = KvCache.empty(arena)
    yield* Program.run(KvCache.realize([cache])) // is the ambient lease open, and of this arena?
    // Holds what is half read, and lets go of what windows have passed; the ambient lease takes over in the end.
    const own = Lease.under(yield* Lease.make(arena))
    for (let from = 0; from < tokens.length; from += chunk) {
      const now = tokens.slice(from, from + chunk)
      const read = step(llama, [cache], [now], () => Effect.succeed(undefined))
      cache = yield* own(slide((yield* own(Effect.scoped(Program.run(read)))).caches[0]!))
    }
    yield* Program.run(KvCache.realize([cache]))
    return cache
  }))
