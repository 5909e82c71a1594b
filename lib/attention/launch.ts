/** The launches of attention: the general kernel, or the register kernel and the merge of its parts. @module */
import { Result } from "effect"
import { pagedAttention } from "../../kernels/paged_attention.ts"
import { splitAttention } from "../../kernels/split_attention.ts"
import type { Arena } from "../cache/Arena.ts"
import * as Layout from "../cache/Layout.ts"
import type { StepGroup } from "../cache/Step.ts"
import { ShapeMismatch } from "../errors.ts"
import { mostWord } from "../tensor/numbers.ts"
import * as Recording from "../tensor/Recording.ts"
import type { Tensor } from "../tensor/value.ts"
import { mergeTo, type States } from "./AttentionState.ts"
import { plan } from "./plan.ts"
import type * as Window from "./Window.ts"

/** What attention reads: pools, and where one layer's keys and values lie in them. */
export interface Source extends Pick<Arena, "layout" | "pools" | "tier"> {
  readonly keys: Layout.Strides
  readonly values: Layout.Strides
}

/** A layer of an arena. */
export const sourceOf = (arena: Arena, layer: number): Source => ({
  ...arena,
  keys: Layout.strides(arena.layout, layer, "keys"),
  values: Layout.strides(arena.layout, layer, "values"),
})

/** How a launch looks. */
export interface Look {
  readonly window: Window.Window
  /** Default `1 / √keyDim`. */
  readonly scale: number | undefined
  /** Default: none. */
  readonly softCap: number | undefined
}

type Queries = Tensor<"f32", "tokens numQHeads headDim">

const shapeError = (
  { keyHeads, valueHeads, keyDim }: Layout.Layout,
  q: Queries,
  expectedTokens: number,
): ShapeMismatch | undefined => {
  const [tokens = 0, numQHeads = 0, headDim = 0] = q.shape
  const wrong = (axis: string, expected: number, actual: number) =>
    new ShapeMismatch({ tensor: "q", axis, expected, actual })
  if (headDim !== keyDim) return wrong("headDim", keyDim, headDim)
  if (tokens !== expectedTokens) return wrong("tokens", expectedTokens, tokens)
  if (q.shape.length !== 3) return wrong("tokens numQHeads headDim (rank)", 3, q.shape.length)
  for (const heads of [keyHeads, valueHeads]) { // a group of query heads shares one key head
    if (numQHeads % heads !== 0) {
      return wrong("numQHeads (a multiple)", Math.ceil(numQHeads / heads) * heads, numQHeads)
    }
  }
}

/** Records attention of q `[tokens, numQHeads, keyDim]` over the tables of one layer group. */
export const launch = (
  rec: Recording.Open,
  { layout, pools, tier, keys, values }: Source,
  { blockTables, visible }: Pick<StepGroup, "blockTables" | "visible">,
  q: Queries,
  { window, scale, softCap }: Look,
): Result.Result<States, ShapeMismatch> => {
  const bad = shapeError(layout, q, visible.shape[0]!)
  if (bad !== undefined) return Result.fail(bad)
  const { dtype, keyHeads, valueHeads, keyDim, valueDim, blockSize } = layout
  const [tokens = 0, numQHeads = 0] = q.shape
  const [batch = 0, maxBlocks = 0] = blockTables.shape
  const reads = { q, keys: pools[keys.pool]!, values: pools[values.pool]!, blockTables, visible }
  const params = {
    keyHeads,
    valueHeads,
    blockSize,
    keyBase: keys.base,
    keyBlockStride: keys.block,
    keyHeadStride: keys.head,
    keySlotStride: keys.slot,
    valueBase: values.base,
    valueBlockStride: values.block,
    valueHeadStride: values.head,
    valueSlotStride: values.slot,
    scale: scale ?? 1 / Math.sqrt(keyDim),
    softCap: softCap ?? 0,
    window: Math.min(window.last ?? 0, mostWord),
    sinks: Math.min(window.sinks, mostWord),
  }
  const planned = tier === "general" ? undefined : plan({
    layout,
    keys,
    values,
    numQHeads,
    tokens,
    batch,
    // The tables say how far any row may reach, also in a capture, whose positions come later.
    contextLen: Math.min(
      maxBlocks * blockSize,
      layout.capacity,
      window.sinks + (window.last ?? Infinity),
    ),
    softCap: softCap !== undefined,
  })
  const whole = {
    out: { axes: "tokens numQHeads valueDim", shape: [tokens, numQHeads, valueDim] },
    lse: { axes: "tokens numQHeads", shape: [tokens, numQHeads] },
  } as const
  if (planned === undefined) {
    const launched = { reads, writes: whole, params, overrides: { WG: 64 } }
    return Recording.launchTo(rec, pagedAttention[dtype], launched)
  }
  const { shape, splits, tile } = planned
  const parts = Recording.launchTo(rec, splitAttention(shape), {
    reads,
    writes: {
      out: { axes: "parts tokens numQHeads valueDim", shape: [splits, ...whole.out.shape] },
      lse: { axes: "parts tokens numQHeads", shape: [splits, ...whole.lse.shape] },
    },
    params: { ...params, tile },
    overrides: { WG: 8 },
  })
  return Result.flatMap(
    parts,
    ({ out, lse }) =>
      splits === 1
        ? Result.succeed({ out: { ...out, ...whole.out }, lse: { ...lse, ...whole.lse } })
        : mergeTo(rec, out, lse),
  )
}
