/** Attention over rows that lie in an arena, wherever their tables come from. @module */
import { Result } from "effect"
import type { Arena } from "../cache/Arena.ts"
import * as Batch from "../cache/Batch.ts"
import * as Layout from "../cache/Layout.ts"
import { ShapeMismatch } from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import type { Tensor } from "../tensor/value.ts"
import type { States } from "./AttentionState.ts"
import { launch, type Source, sourceOf } from "./launch.ts"
import * as Mask from "./Mask.ts"
import {
  type AttendError,
  goneError,
  groupWindow,
  layerError,
  layerOf,
  type Options,
  optionsError,
  type ReadOptions,
} from "./options.ts"

/** Where the context of some queries lies: tables and first kept positions by layer group. */
export interface Placed extends Mask.Row, Pick<Batch.Row, "tables" | "starts"> {}

/** Block tables of some rows, `[batch, maxBlocks]`. */
export type Tables = Pick<Batch.GroupArrays, "blockTables" | "maxBlocks">

/** Records attention over pools, through tables of their blocks, as far as a mask lets queries see. */
export const sightTo = (
  rec: Recording.Open,
  source: Source,
  { blockTables, maxBlocks }: Tables,
  { words, window }: Pick<Mask.Visible, "words" | "window">,
  q: Tensor<"f32", "tokens numQHeads headDim">,
  { scale, softCap }: Options,
): Result.Result<States, AttendError> => {
  const batch = blockTables.length / maxBlocks
  const tables = {
    blockTables: Recording.fresh("u32", "batch maxBlocks", [batch, maxBlocks], blockTables),
    visible: Recording.fresh("u32", "tokens three", [words.length / 3, 3], words),
  }
  return launch(rec, source, tables, q, { window, scale, softCap })
}

/**
 * Records attention of `q` `[tokens, numQHeads, keyDim]`, the queries of all rows one after another. The rows are
 * placed, and pinned by an effect in flight.
 */
export const overTo = (
  rec: Recording.Open,
  arena: Arena,
  rows: ReadonlyArray<Placed>,
  q: Tensor<"f32", "tokens numQHeads headDim">,
  options: ReadOptions,
): Result.Result<States, AttendError> =>
  Result.gen(function* () {
    const layer = layerOf(arena, options)
    const bad = optionsError(options) ?? layerError(arena, layer)
    if (bad !== undefined) return yield* Result.fail(bad)
    // Before the mask, which has a range for each query that the rows promise.
    const expected = rows.reduce((sum, { queryLen }) => sum + queryLen, 0)
    const [actual = 0] = q.shape
    if (expected !== actual) {
      return yield* Result.fail(
        new ShapeMismatch({ tensor: "q", axis: "tokens", expected, actual }),
      )
    }
    const group = Layout.groupOf(arena.layout, layer)
    const mask = { ...options, window: options.window ?? groupWindow(arena, group) }
    const visible = yield* Mask.visible(mask, rows)
    const gone = goneError(visible.needed, rows.map(({ starts }) => starts[group]!))
    if (gone !== undefined) return yield* Result.fail(gone)
    const tables = Batch.blockTables(arena, group, rows)
    return yield* sightTo(rec, sourceOf(arena, layer), tables, visible, q, options)
  })
