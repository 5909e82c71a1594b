/**
 * Sequences over a pool of numbered blocks, told apart by a block table: attnax's `PagedKVCache`, as a value.
 *
 * Block tables and lengths are plain numbers on the host, and every update returns a new cache. Rows lie in
 * `Pages`, and so in an arena's blocks: an older cache, or another that grew from the same one, never changes.
 * `Lease.keep(Pages.caches(cache.pages))` lets go of what no value that matters sees any more.
 *
 * @module
 */
export { init, of, type Options, type PagedKvCache, type Sizes } from "./paged/value.ts"
export { fromPages, type Tables } from "./paged/from.ts"
export { row, type RowOptions, withRow } from "./paged/convert.ts"
export {
  allocateBlocks,
  type Allocated,
  type AllocateError,
  type Allocation,
  freeSequence,
  type Released,
  truncate,
} from "./paged/blocks.ts"
export {
  type AppendError,
  appendKv,
  type AppendOptions,
  type GatheredKv,
  gatherKv,
  keyPool,
  type NewRows,
  type Pool,
  pools,
  realize,
  valuePool,
} from "./paged/rows.ts"
export {
  type AttentionOptions,
  type HeadsFirst,
  pagedAttention,
  pagedAttentionBatch,
  type PagedAttentionError,
  type PagedQueries,
} from "./paged/attention.ts"
