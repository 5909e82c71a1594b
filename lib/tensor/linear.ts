/** Products that contract the last axis by name. @module */
import { Result } from "effect"
import { gemm } from "../../kernels/gemm.ts"
import { gemv } from "../../kernels/gemv.ts"
import { lanes, workgroup } from "../../kernels/grid.ts"
import type { Kernel } from "../../kernels/kernel.ts"
import { linear as kernels } from "../../kernels/linear.ts"
import { gemmF32, gemvF32 } from "../../kernels/linear_f32.ts"
import { matmul as matmulKernel } from "../../kernels/matmul.ts"
import { isTiled } from "../../kernels/tile.ts"
import type { ShapeMismatch } from "../errors.ts"
import { concatTo } from "./arrange.ts"
import { wholeBlocks } from "./blocks.ts"
import { contracted, type Matrix, type Part, partsOf, type Tiled, type Weight } from "./Matrix.ts"
import * as Recording from "./Recording.ts"
import * as Shape from "./Shape.ts"
import type { Op, Tensor } from "./value.ts"

export type { Matrix, Part, Rows, Tiled, Weight } from "./Matrix.ts"

/** What the kernels under `linear` have in common. */
interface Product {
  readonly name: string
  readonly bindings: {
    readonly x: "read f32[rows k]"
    readonly weight: `read ${Weight | Tiled}[n k]`
    readonly out: "write f32[rows n]"
  }
  readonly overrides: { readonly WG: "u32" }
  readonly params: { readonly rows: "u32"; readonly k: "u32"; readonly n: "u32" }
}

/** Registers where the form and the sizes allow it, and several rows of x a thread where there are several. */
const chosen = (
  dtype: Weight | Tiled,
  rows: number,
  k: number,
): readonly [Kernel<Product>, { readonly WG: number }] => {
  if (isTiled(dtype)) return [rows > 1 ? gemm[dtype] : gemv[dtype], lanes]
  if (dtype === "f32" && k > 0 && k % 4 === 0) return [rows > 1 ? gemmF32 : gemvF32, lanes]
  return [kernels[dtype], workgroup]
}

const partTo = <A extends string, O extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", A>,
  w: Part<`${O} ${Shape.Last<A>}`>,
): Result.Result<Tensor<"f32", Shape.ReplaceLast<A, O>>, ShapeMismatch> => {
  const bad = wholeBlocks("w", w)
  if (bad !== undefined) return Result.fail(bad)
  const [n, k] = w.shape as readonly [number, number]
  const [kernel, overrides] = chosen(w.dtype, Shape.size(x.shape.slice(0, -1)), k)
  return Result.map(
    Recording.launchTo(rec, kernel, {
      reads: { x, weight: w },
      writes: { out: contracted<A, O>(x, Shape.words(w.axes)[0]!, n) },
      params: {},
      overrides,
    }),
    (made) => made.out,
  )
}

/** The plain function under `linear`. */
export const linearTo = <A extends string, O extends string>(
  rec: Recording.Open,
  x: Tensor<"f32", A>,
  w: Matrix<`${O} ${Shape.Last<A>}`>,
): Result.Result<Tensor<"f32", Shape.ReplaceLast<A, O>>, ShapeMismatch> =>
  Result.gen(function* () {
    const last = Shape.words(w.axes)[0] as Shape.AxisOf<Shape.ReplaceLast<A, O>> // by its definition
    let all: Tensor<"f32", Shape.ReplaceLast<A, O>> | undefined
    for (const part of partsOf(w)) {
      const some = yield* partTo<A, O>(rec, x, part)
      all = all === undefined ? some : yield* concatTo(rec, all, some, last)
    }
    return all!
  })

/**
 * Multiplies by a weight `[out, in]` in any form, also in several parts: the last axis of `x` is contracted by
 * name, and the first axis of `w` takes its place. The sums are f32 or better, and a row's result does not
 * depend on the other rows (bit by bit on the CPU; a GPU sums one row alone in another order). Fails with
 * `ShapeMismatch` also where rows of a quantised `w` are not whole blocks.
 */
export const linear = <A extends string, O extends string>(
  x: Tensor<"f32", A>,
  w: Matrix<`${O} ${Shape.Last<A>}`>,
): Op<"f32", Shape.ReplaceLast<A, O>> => Recording.op((rec) => linearTo(rec, x, w))

/** The plain function under `matmul`. */
export const matmulTo = <A extends string, N extends string>(
  rec: Recording.Open,
  a: Tensor<"f32", A>,
  b: Tensor<"f32", `${Shape.Last<A>} ${N}`>,
): Result.Result<Tensor<"f32", Shape.ReplaceLast<A, N>>, ShapeMismatch> =>
  Result.map(
    Recording.launchTo(rec, matmulKernel, {
      reads: { a, b },
      writes: { out: contracted<A, N>(a, Shape.words(b.axes)[1]!, b.shape[1]!) },
      params: {},
      overrides: workgroup,
    }),
    (made) => made.out,
  )

/** The matrix product: the last axis of `a` is contracted by name with the first of `b`, which has two. */
export const matmul = <A extends string, N extends string>(
  a: Tensor<"f32", A>,
  b: Tensor<"f32", `${Shape.Last<A>} ${N}`>,
): Op<"f32", Shape.ReplaceLast<A, N>> => Recording.op((rec) => matmulTo(rec, a, b))
