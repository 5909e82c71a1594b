/** Windows that move on: blocks no windowed layer will see again go back to the pool. @module */
import { Effect, Result } from "effect"
import * as KvCache from "../cache/KvCache.ts"
import type { Layout } from "../cache/Layout.ts"
import * as Lease from "../cache/Lease.ts"
import type { InvalidArgument, LeaseClosed, StaleCache } from "../errors.ts"

/**
 * Blocks each group needs for caches of `blocks` blocks that grow by at most `ahead` tokens between two slides.
 */
export const blocksOf = (layout: Layout, blocks: number, ahead: number): ReadonlyArray<number> =>
  layout.groups.map(({ window }) =>
    window === undefined
      ? blocks
      : Math.min(blocks, Math.ceil((window - 1 + ahead) / layout.blockSize) + 1)
  )

/**
 * The cache without what its windowed layers no longer see from its next token on; the lease keeps it and
 * nothing else. Without windows it is the cache itself, and costs nothing.
 */
export const slide = (
  cache: KvCache.KvCache,
): Effect.Effect<KvCache.KvCache, InvalidArgument | LeaseClosed | StaleCache, Lease.Lease> =>
  Effect.suspend(() => {
    let next: Result.Result<KvCache.KvCache, InvalidArgument> = Result.succeed(cache)
    for (const [group, { window }] of cache.arena.layout.groups.entries()) {
      if (window === undefined) continue
      const first = Math.max(0, cache.length + 1 - window)
      next = Result.flatMap(next, KvCache.dropBefore(first, group))
    }
    return Effect.flatMap(
      Effect.fromResult(next),
      (slid) =>
        slid.starts.every((start, i) => start === cache.starts[i])
          ? Effect.succeed(cache)
          : Effect.as(Lease.keep([slid]), slid),
    )
  })
