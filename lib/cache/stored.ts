/** Rows as an arena stores them. @module */
import type { Result } from "effect"
import type { ShapeMismatch } from "../errors.ts"
import type * as Recording from "../tensor/Recording.ts"
import * as Tensor from "../tensor/Tensor.ts"
import { type Given, givenAs, type Layout } from "./Layout.ts"

/** f32 rows in the dtype that an arena takes; exact for numbers that were gathered from the same dtype. */
export const storedTo = <A extends string>(
  rec: Recording.Open,
  layout: Layout,
  rows: Tensor.Tensor<"f32", A>,
): Result.Result<Tensor.Tensor<Given, A>, ShapeMismatch> =>
  Tensor.castTo(rec, rows, givenAs(layout))
