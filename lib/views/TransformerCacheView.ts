/**
 * Keys and values of one layer for a batch, as a value: every row is a cache of its own, with its own length.
 *
 * `concatenateToCache` is one call of a layer; `append` and `attend` are its two halves without dense copies.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Program, TransformerCacheView } from "@kvasir/kvasir"
 * import type { Tensor } from "@kvasir/kvasir"
 * const layer = (
 *   view: TransformerCacheView,
 *   query: Tensor<"f32", "batch tokens numQHeads headDim">,
 *   key: Tensor<"f32", "batch tokens keyHeads keyDim">,
 *   value: Tensor<"f32", "batch tokens valueHeads valueDim">,
 * ) =>
 *   Program.run(Effect.gen(function* () {
 *     const next = yield* TransformerCacheView.concatenateToCache(view, { query, key, value })
 *     const { out } = yield* TransformerCacheView.attend(query, next.view, { mask: next.mask })
 *     return { view: next.view, out }
 *   }))
 * ```
 *
 * @module
 */
export { isEmpty, room, show } from "./transformer/value.ts"
export type { TransformerCacheView } from "./transformer/value.ts"
export { init, layoutOf, type LayoutOptions, type ViewOptions } from "./transformer/init.ts"
export { fromRows, row, withRow } from "./transformer/convert.ts"
export { append, type Chunk } from "./transformer/append.ts"
export {
  type Concatenated,
  type ConcatenateError,
  concatenateToCache,
  type Concatenation,
} from "./transformer/concatenate.ts"
export { attend, type Attended, type AttendOptions, type Queries } from "./transformer/attend.ts"
export { maskFor, type Visible, visible } from "./transformer/see.ts"
export { key, materialize, type Materialized, value } from "./transformer/materialize.ts"
export { shard, type ShardError } from "./transformer/shard.ts"
export type { Range, Shard, Sharded } from "./transformer/sharded.ts"
export { attendShards } from "./transformer/attend_shards.ts"
export { unshard } from "./transformer/unshard.ts"
