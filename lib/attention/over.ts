/** Attention over rows that lie in an arena, wherever their tables come from. @module */
import { Result } from "effect"
import type { Arena } from "../cache/Arena.ts"
import * as Batch from "../cache/Batch.ts"
import * as Layout from "../cache/Layout.ts"
import * as Recording from "../tensor/Recording.ts"
import type { Tensor } from "../tensor/value.ts"
import type { States } from "./AttentionState.ts"
import { launch } from "./launch.ts"
import * as Mask from "./Mask.ts"
import {
  type AttendError,
  goneError,
  groupWindow,
  layerError,
  layerOf,
  optionsError,
  type ReadOptions,
} from "./options.ts"

/** Where the context of some queries lies: tables and first kept positions by layer group. */
export interface Placed extends Mask.Row, Pick<Batch.Row, "tables" | "starts"> {}

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
    const group = Layout.groupOf(arena.layout, layer)
    const mask = { ...options, window: options.window ?? groupWindow(arena, group) }
    const { words, window, needed } = yield* Mask.visible(mask, rows)
    const gone = goneError(needed, rows.map(({ starts }) => starts[group]!))
    if (gone !== undefined) return yield* Result.fail(gone)
    const { blockTables, maxBlocks } = Batch.blockTables(arena, group, rows)
    const look = { layer, window, scale: options.scale, softCap: options.softCap }
    return yield* launch(
      rec,
      arena,
      {
        blockTables: Recording.fresh(
          "u32",
          "batch maxBlocks",
          [rows.length, maxBlocks],
          blockTables,
        ),
        visible: Recording.fresh("u32", "tokens three", [words.length / 3, 3], words),
      },
      q,
      look,
    )
  })
