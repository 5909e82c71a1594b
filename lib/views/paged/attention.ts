/** Attention over the sequences of a paged cache. @module */
import { Effect } from "effect"
import type { States } from "../../attention/AttentionState.ts"
import type { Mask } from "../../attention/Mask.ts"
import type { AttendError } from "../../attention/options.ts"
import { attendPages } from "../../attention/pages.ts"
import type { Needs } from "../../cache/Flight.ts"
import type { RealizeError } from "../../cache/Realize.ts"
import { ShapeMismatch, type UnknownSequence } from "../../errors.ts"
import { permute } from "../../tensor/arrange.ts"
import type { Tensor } from "../../tensor/value.ts"
import { type PagedKvCache, sequenceError } from "./value.ts"

/** What changes the mathematics. */
export interface AttentionOptions {
  /**
   * What hides tokens. Default: nothing, so that a query sees later tokens too. A mask that is given hides later
   * ones unless it says `causal: false`; the last query stands at the last token.
   */
  readonly mask?: Mask
  /** Multiplies every score. Default `1 / √headDim`. */
  readonly scale?: number
  /** `cap · tanh(score / cap)`, after the scale. Default: none. */
  readonly softCap?: number
}

/** Attention of one sequence, heads first. */
export interface HeadsFirst {
  /** Zeros where a query sees nothing. */
  readonly out: Tensor<"f32", "numQHeads tokens headDim">
  /** Natural log; the lowest f32 where a query sees nothing. */
  readonly lse: Tensor<"f32", "numQHeads tokens">
}

/** What attention over a paged cache may fail with. */
export type PagedAttentionError = UnknownSequence | AttendError | RealizeError

/** Over nothing there is nothing to hide, and no position for a query to stand at. */
const shown: Mask = { causal: false }

/** Two axes exchanged: a copy, but for one of a kind, which lies as it should already. */
const exchanged = <A extends string, const B extends string>(
  x: Tensor<"f32", A>,
  axes: B,
  copy: (x: Tensor<"f32", A>) => ReturnType<typeof permute<A, B>>,
) => {
  const [first = 0, second = 0, ...rest] = x.shape
  return first > 1 && second > 1
    ? copy(x)
    : Effect.succeed<Tensor<"f32", B>>({ ...x, axes, shape: [second, first, ...rest] })
}

/** Some queries of one sequence, among those of a batch. */
export interface PagedQueries {
  readonly sequence: number
  /** How many; the last of them stands at the sequence's last token. */
  readonly queryLen: number
}

/**
 * Attention of the queries of several sequences by one launch: `query` `[tokens, numQHeads, headDim]`, those of all
 * `rows` one after another. Lists in the mask (`segments`, `starts`) have one entry for each of `rows`. A row's
 * result is the same alone and in any batch.
 */
export const pagedAttentionBatch = (
  query: Tensor<"f32", "tokens numQHeads headDim">,
  cache: PagedKvCache,
  rows: ReadonlyArray<PagedQueries>,
  { mask = shown, ...rest }: AttentionOptions = {},
): Effect.Effect<States, PagedAttentionError, Needs> => {
  const bad = rows.map(({ sequence }) => sequenceError(cache, sequence)).find((one) => one)
  if (bad !== undefined) return Effect.fail(bad)
  const asked = rows.map(({ sequence, queryLen }) => ({
    blocks: cache.blockTable[sequence]!,
    contextLen: cache.seqLengths[sequence]!,
    queryLen,
  }))
  return attendPages(query, cache.pages, asked, { ...rest, ...mask })
}

/**
 * Attention of `query` `[numQHeads, tokens, headDim]` over one sequence; query head h reads key head
 * `⌊h / (numQHeads / numKvHeads)⌋`. Zeros over an empty sequence, whatever the mask.
 *
 * - realises the sequence's pages first
 * - fails with `UnknownSequence`, `ShapeMismatch` (heads that do not divide, head dim) or `InvalidArgument` (the mask;
 *   more queries than tokens where their positions count)
 * - one launch of attention, and one to exchange heads and tokens each way where there are several of both
 *
 * Source: attnax, `paged_attention`.
 */
export const pagedAttention = (
  query: Tensor<"f32", "numQHeads tokens headDim">,
  cache: PagedKvCache,
  sequence: number,
  options: AttentionOptions = {},
): Effect.Effect<HeadsFirst, PagedAttentionError, Needs> => {
  const bad = sequenceError(cache, sequence)
  if (bad !== undefined) return Effect.fail(bad)
  if (query.shape.length !== 3) {
    const axis = "numQHeads tokens headDim (rank)"
    const actual = query.shape.length
    return Effect.fail(new ShapeMismatch({ tensor: "query", axis, expected: 3, actual }))
  }
  const empty = cache.seqLengths[sequence] === 0
  return Effect.gen(function* () {
    const queries = yield* exchanged(
      query,
      "tokens numQHeads headDim",
      (x) => permute(x, "tokens numQHeads headDim"),
    )
    const row = { sequence, queryLen: query.shape[1]! }
    const asked = empty ? { ...options, mask: shown } : options
    const { out, lse } = yield* pagedAttentionBatch(queries, cache, [row], asked)
    const named = { ...out, axes: "tokens numQHeads headDim" } as const
    return {
      out: yield* exchanged(
        named,
        "numQHeads tokens headDim",
        (x) => permute(x, "numQHeads tokens headDim"),
      ),
      lse: yield* exchanged(lse, "numQHeads tokens", (x) => permute(x, "numQHeads tokens")),
    }
  })
}
