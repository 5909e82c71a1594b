/** Whole blocks: rows of a block-quantised tensor begin at one, and a tiled one is whole tiles. @module */
import { isTiled, side } from "../../kernels/tile.ts"
import { ShapeMismatch } from "../errors.ts"
import { type DType, formats } from "./DType.ts"
import { words } from "./Shape.ts"
import type { Tensor } from "./value.ts"

/** What is wrong if the last axis is not whole blocks, or an axis of a tiled tensor not whole tiles. */
export const wholeBlocks = (name: string, w: Tensor<DType, string>): ShapeMismatch | undefined => {
  const tiled = isTiled(w.dtype)
  const columns = formats[w.dtype].elements / (tiled ? side : 1)
  const last = w.shape.length - 1
  for (let i = tiled ? 0 : last; i <= last; i++) {
    const actual = w.shape[i]!
    const elements = i === last ? columns : side
    if (actual % elements === 0) continue
    const axis = `${words(w.axes)[i]} (whole ${tiled ? "tiles" : "blocks"})`
    const expected = Math.ceil(actual / elements) * elements
    return new ShapeMismatch({ tensor: name, axis, expected, actual })
  }
}
