/** Whole blocks: rows of a block-quantised tensor begin at one. @module */
import { ShapeMismatch } from "../errors.ts"
import { type DType, formats } from "./DType.ts"
import { words } from "./Shape.ts"
import type { Tensor } from "./value.ts"

/** What is wrong if the last axis is not whole blocks. */
export const wholeBlocks = (name: string, w: Tensor<DType, string>): ShapeMismatch | undefined => {
  const { elements } = formats[w.dtype]
  const actual = w.shape.at(-1) ?? 1
  if (actual % elements === 0) return undefined
  const axis = `${words(w.axes).at(-1)} (whole blocks)`
  const expected = Math.ceil(actual / elements) * elements
  return new ShapeMismatch({ tensor: name, axis, expected, actual })
}
