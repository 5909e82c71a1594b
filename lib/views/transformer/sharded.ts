/** What a divided view is. @module */
import type { Owner } from "../../cache/Owner.ts"
import type { TransformerCacheView } from "./value.ts"

/** Indices from `from` up to and without `to`. */
export interface Range {
  readonly from: number
  readonly to: number
}

/** One device's part of a view. */
export interface Shard {
  /** Rows of the batch. */
  readonly batch: Range
  /** Positions of each row; they keep their numbers. */
  readonly positions: Range
  /** Heads of keys. */
  readonly keyHeads: Range
  /** Heads of values. */
  readonly valueHeads: Range
  /** Elements of each head of a value. Keys are whole: scores of parts of them are no scores. */
  readonly valueDims: Range
  /** A view of these alone. */
  readonly view: TransformerCacheView
  /** What holds its blocks. */
  readonly lease: Owner
}

/** Parts along each axis. */
export interface Parts {
  readonly batch: number
  readonly positions: number
  readonly heads: number
  readonly valueDims: number
}

/** A view in parts. */
export interface Sharded {
  /** What was divided: its sizes, masks and starts. */
  readonly whole: TransformerCacheView
  readonly parts: Parts
  /** By batch, then positions, then heads, then value elements. */
  readonly shards: ReadonlyArray<Shard>
}
