/** Rows of a table by id. @module */
import { type Effect, Result } from "effect"
import { embed as kernels } from "../../kernels/embed.ts"
import { workgroup } from "../../kernels/grid.ts"
import { InvalidArgument, type ShapeMismatch } from "../errors.ts"
import { wholeBlocks } from "./blocks.ts"
import { addTo } from "./elementwise.ts"
import { type Matrix, type Part, partsOf } from "./Matrix.ts"
import * as Recording from "./Recording.ts"
import * as Shape from "./Shape.ts"
import type { Tensor } from "./value.ts"

/** The first id that is no row of the table, of ids whose values the host still has. */
const strayId = (ids: Tensor<"u32", string>, vocab: number): number | undefined =>
  ids.slot.data instanceof Uint32Array ? ids.slot.data.find((id) => id >= vocab) : undefined

/** Rows of a part that begins at row `first` of the table; zeros for ids of other parts. */
const partTo = <A extends string, V extends string, M extends string>(
  rec: Recording.Open,
  ids: Tensor<"u32", A>,
  table: Part<`${V} ${M}`>,
  first: number,
): Result.Result<Tensor<"f32", `${A} ${M}`>, ShapeMismatch> => {
  const bad = wholeBlocks("table", table)
  if (bad !== undefined) return Result.fail(bad)
  const axes = `${ids.axes} ${Shape.words(table.axes)[1]}` as `${A} ${M}`
  return Result.map(
    Recording.launchTo(rec, kernels[table.dtype], {
      reads: { ids, table },
      writes: { out: { axes, shape: [...ids.shape, table.shape[1]!] } },
      params: { first },
      overrides: workgroup,
    }),
    (made) => made.out,
  )
}

/** The plain function under `embed`. */
export const embedTo = <A extends string, V extends string, M extends string>(
  rec: Recording.Open,
  ids: Tensor<"u32", A>,
  table: Matrix<`${V} ${M}`>,
): Result.Result<Tensor<"f32", `${A} ${M}`>, ShapeMismatch | InvalidArgument> => {
  const vocab = table.shape[0]!
  const stray = strayId(ids, vocab)
  if (stray !== undefined) {
    const need = `below ${vocab}, the rows of the table`
    return Result.fail(new InvalidArgument({ name: "id", value: stray, need }))
  }
  return Result.gen(function* () {
    let first = 0
    let sum: Tensor<"f32", `${A} ${M}`> | undefined
    for (const part of partsOf(table)) {
      const rows = yield* partTo(rec, ids, part, first)
      sum = sum === undefined ? rows : yield* addTo(rec, sum, rows)
      first += part.shape[0]!
    }
    return sum!
  })
}

/**
 * Row `ids[t]` of a table in any form, for each t. Ids the host gave are checked against the table;
 * ids computed on the device are the caller's to keep below its rows.
 */
export const embed = <A extends string, V extends string, M extends string>(
  ids: Tensor<"u32", A>,
  table: Matrix<`${V} ${M}`>,
): Effect.Effect<
  Tensor<"f32", `${A} ${M}`>,
  ShapeMismatch | InvalidArgument,
  Recording.Recording
> => Recording.op((rec) => embedTo(rec, ids, table))
