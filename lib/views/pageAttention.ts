/**
 * Attention of one query a sequence over pages that a block table names: ejkernel's `page_attention`.
 *
 * @module
 */
import { Effect } from "effect"
import { attendPages, type PagedRow } from "../attention/pages.ts"
import {
  type AttendError,
  capError,
  groupWindow,
  layerError,
  layerOf,
  scaleError,
} from "../attention/options.ts"
import { orderError, type PageTensors, pageTensorsTo } from "../attention/tensors.ts"
import type { States } from "../attention/AttentionState.ts"
import * as Window from "../attention/Window.ts"
import type { Needs } from "../cache/Flight.ts"
import * as Layout from "../cache/Layout.ts"
import type { Pages } from "../cache/Pages.ts"
import type { RealizeError } from "../cache/Realize.ts"
import * as Gpu from "../device/Gpu.ts"
import { CapacityExceeded, type DTypeMismatch, InvalidArgument, ShapeMismatch } from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import type { Tensor } from "../tensor/value.ts"

export type { PageOrder, PageTensor, PageTensors } from "../attention/tensors.ts"

/** What the original adds to scores that it hides: `−0.7 ·` the largest f32. */
export const DEFAULT_MASK_VALUE: number = -0.7 * (2 - 2 ** -23) * 2 ** 127

/** What is asked, besides the pages. */
export interface Options {
  /** One query a sequence, at the last position of its context. */
  readonly query: Tensor<"f32", "numSeqs numHeads headDim">
  /** `[numSeqs]`: tokens a query sees, its own included; 0 sees nothing and gives zeros. */
  readonly contextLens: ArrayLike<number>
  /** `[numSeqs][maxBlocks]`: pages in the order of their tokens. Cells past a context may hold anything, as −1. */
  readonly blockTables: ReadonlyArray<ArrayLike<number>>
  /** Multiplies every score. Default `1 / √headDim`. */
  readonly attnScale?: number | undefined
  /** An upper bound of `contextLens`; a longer context is refused. Cannot change the result. */
  readonly maxContextLen?: number | undefined
  /** Parts the original attends in: 0 is its choice. Cannot change the result. */
  readonly numSplits?: number | undefined
  /** A hidden position contributes nothing, whatever this is. Default `DEFAULT_MASK_VALUE`. */
  readonly maskValue?: number | undefined
  /** `cap · tanh(score / cap)`, after the scale. Default: none. */
  readonly attnLogitsSoftCap?: number | undefined
  /** Pages the original reads at a time. Cannot change the result. */
  readonly pagesPerComputeBlock?: number | undefined
  /** How the original divides work over two cores. Cannot change the result. */
  readonly megacoreMode?: "kv_head" | "batch" | undefined
  /** Whether the original loops over sequences inside its kernel. Cannot change the result. */
  readonly inlineSeqDim?: boolean | undefined
  /** The last tokens of a context, the query's own included. Default: all of them. */
  readonly slidingWindow?: number | undefined
}

/** Pages of an arena, and which layer's keys and values. */
export interface PooledPages {
  /** They are realised first. */
  readonly pages: Pages
  /** Needed unless the arena has one layer. */
  readonly layer?: number | undefined
}

/** Outputs and natural log-sum-exps, so that partial results merge. */
export interface Attended {
  /** Zeros for a row without tokens. */
  readonly out: Tensor<"f32", "numSeqs numHeads headDim">
  /** Natural log; the lowest f32 for a row without tokens. */
  readonly lse: Tensor<"f32", "numSeqs numHeads">
}

/** What it may fail with, over tensors. */
export type PageAttentionError = AttendError | CapacityExceeded | DTypeMismatch

const wholeError = (name: string, value: number | undefined, least: number) =>
  value === undefined || (Number.isSafeInteger(value) && value >= least)
    ? undefined
    : new InvalidArgument({ name, value, need: `a whole number, at least ${least}` })

const oneOf = (name: string, value: unknown, all: ReadonlyArray<unknown>) =>
  value === undefined || all.includes(value) ? undefined : new InvalidArgument({
    name,
    value: String(value),
    need: all.map((one) => typeof one === "string" ? `"${one}"` : String(one)).join(" or "),
  })

/** Hints do nothing, and are still not taken without a look. */
const hintError = (options: Options): InvalidArgument | undefined => {
  const { maskValue, attnScale, attnLogitsSoftCap: cap } = options
  return (attnScale === undefined ? undefined : scaleError("attnScale", attnScale)) ??
    (cap === undefined ? undefined : capError("attnLogitsSoftCap", cap)) ??
    wholeError("maxContextLen", options.maxContextLen, 0) ??
    wholeError("numSplits", options.numSplits, 0) ??
    wholeError("pagesPerComputeBlock", options.pagesPerComputeBlock, 1) ??
    wholeError("slidingWindow", options.slidingWindow, 1) ??
    oneOf("megacoreMode", options.megacoreMode, ["kv_head", "batch"]) ??
    oneOf("inlineSeqDim", options.inlineSeqDim, [true, false]) ??
    (maskValue === undefined || typeof maskValue === "number"
      ? undefined
      : new InvalidArgument({ name: "maskValue", value: String(maskValue), need: "a number" }))
}

const rowsError = (
  { query, contextLens, blockTables, maxContextLen }: Options,
  blockSize: number,
): ShapeMismatch | InvalidArgument | CapacityExceeded | undefined => {
  const expected = query.shape[0] ?? 0
  for (const [tensor, actual] of Object.entries({ contextLens, blockTables })) {
    if (actual.length === expected) continue
    return new ShapeMismatch({ tensor, axis: "numSeqs", expected, actual: actual.length })
  }
  for (const [i, table] of blockTables.entries()) {
    const value = contextLens[i]!
    const bad = wholeError(`contextLens[${i}]`, value, 0)
    if (bad !== undefined) return bad
    if (maxContextLen !== undefined && value > maxContextLen) {
      const need = `at most ${maxContextLen}, the maxContextLen given`
      return new InvalidArgument({ name: `contextLens[${i}]`, value, need })
    }
    const capacity = table.length * blockSize
    if (value > capacity) return new CapacityExceeded({ needed: value, capacity })
  }
}

/** A query at the last position sees a window as its first position: so a row without tokens needs no other care. */
const maskOf = (contextLens: ReadonlyArray<number>, window: number | undefined) => ({
  causal: false,
  window: Window.all,
  starts: contextLens.map((length) => window === undefined ? 0 : Math.max(0, length - window)),
})

const named = ({ out, lse }: States): Attended => ({
  out: { ...out, axes: "numSeqs numHeads headDim" },
  lse: { ...lse, axes: "numSeqs numHeads" },
})

const prepared = (options: Options, window: number | undefined) => {
  const { query, contextLens, blockTables, attnScale, attnLogitsSoftCap } = options
  const q: Tensor<"f32", "tokens numQHeads headDim"> = {
    ...query,
    axes: "tokens numQHeads headDim",
  }
  const rows = blockTables.map((table, i): PagedRow => ({
    blocks: Array.from(table),
    contextLen: contextLens[i]!,
    queryLen: 1,
  }))
  const read = {
    ...maskOf(Array.from(contextLens), window),
    ...(attnScale !== undefined && { scale: attnScale }),
    ...(attnLogitsSoftCap !== undefined && { softCap: attnLogitsSoftCap }),
  }
  return { q, rows, read }
}

const overPages = (
  { pages, layer }: PooledPages,
  options: Options,
): Effect.Effect<Attended, PageAttentionError | RealizeError, Needs> => {
  const { arena } = pages
  const { layout } = arena
  const chosen = layerOf(arena, layer === undefined ? {} : { layer })
  const bad = hintError(options) ?? layerError(arena, chosen) ??
    rowsError(options, layout.blockSize)
  if (bad !== undefined) return Effect.fail(bad)
  const own = groupWindow(arena, Layout.groupOf(layout, chosen)).last
  const { q, rows, read } = prepared(options, options.slidingWindow ?? own)
  return Effect.map(attendPages(q, pages, rows, { ...read, layer: chosen }), named)
}

const overTensors = (
  tensors: PageTensors,
  options: Options,
): Effect.Effect<Attended, PageAttentionError, Gpu.Gpu | Recording.Recording> => {
  const { axes, shape } = tensors.keyPages
  const slots = shape[axes.split(" ").indexOf("slots")] ?? 0
  const bad = hintError(options) ?? orderError("keyPages", tensors.keyPages) ??
    rowsError(options, slots)
  if (bad !== undefined) return Effect.fail(bad)
  const { q, rows, read } = prepared(options, options.slidingWindow)
  return Effect.flatMap(
    Gpu.Service,
    ({ tier }) =>
      Effect.map(
        Recording.op((rec) => pageTensorsTo(rec, tier, q, tensors, rows, read)),
        named,
      ),
  )
}

/** Over tensors, or over pages of an arena. */
export interface Call {
  (
    options: Options & PageTensors,
  ): Effect.Effect<Attended, PageAttentionError, Gpu.Gpu | Recording.Recording>
  (
    options: Options & PooledPages,
  ): Effect.Effect<Attended, PageAttentionError | RealizeError, Needs>
}

/**
 * Attention of one query a sequence over its pages. Query head h reads key head `⌊h · numKvHeads / numHeads⌋`; a
 * row without tokens gives zeros. Nothing outside a row's context reaches its result, whatever lies there.
 *
 * - `keyPages`, `valuePages`: dense tensors whose own axes say the order, `"pages heads slots dim"` or
 *   `"heads pages slots dim"`; they are read in place, f32, f16 or bf16. Or `pages` (and `layer`) of an arena,
 *   which are realised first.
 * - fails with `CapacityExceeded` where a context is longer than its table, `InvalidArgument` for a page inside a
 *   context that is not there, `ShapeMismatch` for sizes that do not fit
 * - O(tokens seen · numHeads · headDim)
 *
 * Source: ejkernel's `page_attention`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { PageAttention, Program, Tensor } from "@kvasir/kvasir"
 * const program = Program.run(Effect.gen(function* () {
 *   const sizes = { pages: 2, heads: 1, slots: 4, dim: 2 }
 *   const pages = yield* Tensor.constant("f32", "pages heads slots dim", sizes, new Float32Array(16))
 *   const query = yield* Tensor.constant(
 *     "f32",
 *     "numSeqs numHeads headDim",
 *     { numSeqs: 1, numHeads: 1, headDim: 2 },
 *     Float32Array.of(1, 2),
 *   )
 *   const asked = { contextLens: [6], blockTables: [[1, 0, -1]] }
 *   return yield* PageAttention.pageAttention({ query, keyPages: pages, valuePages: pages, ...asked })
 * }))
 * ```
 */
export const pageAttention: Call = ((
  options: Options & (PageTensors | PooledPages),
) => "pages" in options ? overPages(options, options) : overTensors(options, options)) as Call
