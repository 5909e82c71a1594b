/**
 * The cache of a transformer: a view for each layer, over one arena, as a value. Whatever changes answers a new cache,
 * and every older one stays as it was.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Program, TransformerCache, TransformerCacheView } from "@kvasir/kvasir"
 * // one row of a batch replaced by a sequence that was read elsewhere, and a rollback
 * const join = (batch: TransformerCache, one: TransformerCache) =>
 *   Program.run(Effect.gen(function* () {
 *     const joined = yield* TransformerCache.insert(batch, one, 2)
 *     return yield* Effect.fromResult(TransformerCache.insertIndex(joined, [5], 2))
 *   }))
 * ```
 *
 * @module
 */
export { sequences, showAll as show } from "./transformer/value.ts"
export type { TransformerCache } from "./transformer/value.ts"
export { type CacheOptions, initCache, initEmpty, type InitError } from "./transformer/init.ts"
export { at, with } from "./transformer/layers.ts"
export {
  insert,
  type InsertError,
  insertIndex,
  type InsertOptions,
  insertStarts,
} from "./transformer/insert.ts"
export {
  fromPure,
  type FromPureError,
  type Pure,
  type PureOptions,
  toPure,
  type ToPureError,
  version,
} from "./transformer/pure.ts"
export { shardCache as shard, unshardCache as unshard } from "./transformer/shard_cache.ts"
