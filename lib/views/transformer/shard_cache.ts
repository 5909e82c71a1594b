/** All layers of a cache, divided and put together. @module */
import { Effect, type Scope } from "effect"
import type { Needs } from "../../cache/Flight.ts"
import type { RealizeError } from "../../cache/Realize.ts"
import type { WriteError } from "../../cache/write.ts"
import type { Gpu } from "../../device/service.ts"
import type { Partitioning } from "./partition.ts"
import type { RuntimeMode } from "./RuntimeMode.ts"
import { shard, type ShardError } from "./shard.ts"
import type { Sharded } from "./sharded.ts"
import { unshard } from "./unshard.ts"
import { cacheOf, type TransformerCache } from "./value.ts"

/** Every layer divided as `TransformerCacheView.shard` does; a layer without a view has no shards. */
export const shardCache = (
  { views }: TransformerCache,
  partitioning: Partitioning,
  mode?: RuntimeMode,
): Effect.Effect<
  ReadonlyArray<Sharded | undefined>,
  ShardError,
  Needs | Gpu | Scope.Scope
> =>
  Effect.forEach(
    views,
    (one) => one === undefined ? Effect.undefined : shard(one, partitioning, mode),
  )

/** The cache whose layers these are. */
export const unshardCache = (
  layers: ReadonlyArray<Sharded | undefined>,
): Effect.Effect<TransformerCache, RealizeError | WriteError, Needs> =>
  Effect.map(
    Effect.forEach(layers, (one) => one === undefined ? Effect.undefined : unshard(one)),
    cacheOf,
  )
