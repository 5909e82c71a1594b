/** Rows of a table by id. @module */
import { type Effect, Result } from "effect"
import type { Weight } from "../../kernels/decode.ts"
import { embed as kernels } from "../../kernels/embed.ts"
import { workgroup } from "../../kernels/grid.ts"
import { InvalidArgument, type ShapeMismatch } from "../errors.ts"
import { wholeBlocks } from "./blocks.ts"
import * as Recording from "./Recording.ts"
import * as Shape from "./Shape.ts"
import type { Tensor } from "./value.ts"

/** The first id that is no row of the table, of ids whose values the host still has. */
const strayId = (ids: Tensor<"u32", string>, vocab: number): number | undefined =>
  ids.slot.data instanceof Uint32Array ? ids.slot.data.find((id) => id >= vocab) : undefined

/** The plain function under `embed`. */
export const embedTo = <A extends string, V extends string, M extends string>(
  rec: Recording.Open,
  ids: Tensor<"u32", A>,
  table: Tensor<Weight, `${V} ${M}`>,
): Result.Result<Tensor<"f32", `${A} ${M}`>, ShapeMismatch | InvalidArgument> => {
  const bad = wholeBlocks("table", table)
  if (bad !== undefined) return Result.fail(bad)
  const [vocab, model] = table.shape as readonly [number, number]
  const stray = strayId(ids, vocab)
  if (stray !== undefined) {
    const need = `below ${vocab}, the rows of the table`
    return Result.fail(new InvalidArgument({ name: "id", value: stray, need }))
  }
  const axes = `${ids.axes} ${Shape.words(table.axes)[1]}` as `${A} ${M}`
  return Result.map(
    Recording.launchTo(rec, kernels[table.dtype], {
      reads: { ids, table },
      writes: { out: { axes, shape: [...ids.shape, model] } },
      params: {},
      overrides: workgroup,
    }),
    (made) => made.out,
  )
}

/**
 * Row `ids[t]` of a table stored in any form, for each t. Ids the host gave are checked against the table;
 * ids computed on the device are the caller's to keep below its rows.
 */
export const embed = <A extends string, V extends string, M extends string>(
  ids: Tensor<"u32", A>,
  table: Tensor<Weight, `${V} ${M}`>,
): Effect.Effect<
  Tensor<"f32", `${A} ${M}`>,
  ShapeMismatch | InvalidArgument,
  Recording.Recording
> => Recording.op((rec) => embedTo(rec, ids, table))
