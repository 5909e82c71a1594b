/** Attention over pages that lie in dense tensors, read where they are. @module */
import { Result } from "effect"
import type { Arena } from "../cache/Arena.ts"
import * as Layout from "../cache/Layout.ts"
import { DTypeMismatch, InvalidArgument, ShapeMismatch } from "../errors.ts"
import { largest } from "../tensor/numbers.ts"
import type * as Recording from "../tensor/Recording.ts"
import * as Shape from "../tensor/Shape.ts"
import type { Tensor } from "../tensor/value.ts"
import type { States } from "./AttentionState.ts"
import type { Source } from "./launch.ts"
import * as Mask from "./Mask.ts"
import { type AttendError, optionsError, type ReadOptions } from "./options.ts"
import { sightTo } from "./over.ts"
import { countError, type PagedRow } from "./pages.ts"

/** The orders of axes that pages come in; a tensor's own axes say which it has. */
export type PageOrder = "pages heads slots dim" | "heads pages slots dim"

/** Some pages as one tensor. */
export type PageTensor = Tensor<Layout.Given, PageOrder>

/** Keys and values of some pages; each in an order of its own. */
export interface PageTensors {
  /** `[pages, heads, slots, keyDim]` in one of the orders. */
  readonly keyPages: PageTensor
  /** As many pages, heads and slots; its dim may be another. */
  readonly valuePages: PageTensor
}

const orders: ReadonlyArray<PageOrder> = ["pages heads slots dim", "heads pages slots dim"]

interface Sizes {
  readonly pages: number
  readonly heads: number
  readonly slots: number
  readonly dim: number
}

/** What is wrong with the axes of a tensor: no order is guessed from its sizes. */
export const orderError = (
  name: string,
  { axes, shape }: PageTensor,
): ShapeMismatch | InvalidArgument | undefined => {
  if (!orders.includes(axes)) {
    const need = orders.map((order) => `"${order}"`).join(" or ")
    return new InvalidArgument({ name: `the axes of ${name}`, value: axes, need })
  }
  const [expected, actual] = [Shape.words(axes).length, shape.length]
  if (expected !== actual) {
    return new ShapeMismatch({ tensor: name, axis: `${axes} (rank)`, expected, actual })
  }
}

/** Sizes by name, and strides, of a tensor in one of the orders. */
const read = (
  name: string,
  pool: number,
  tensor: PageTensor,
): Result.Result<Sizes & { readonly strides: Layout.Strides }, ShapeMismatch | InvalidArgument> => {
  const bad = orderError(name, tensor)
  if (bad !== undefined) return Result.fail(bad)
  const { axes, shape } = tensor
  const words = Shape.words(axes)
  const elements = Shape.size(shape)
  if (elements > 2 ** 32) {
    const need = `at most ${2 ** 32}, so that a 32-bit offset reaches each`
    const value = elements
    return Result.fail(new InvalidArgument({ name: `the elements of ${name}`, value, need }))
  }
  const at = (word: string) => words.indexOf(word)
  const size = (word: string) => shape[at(word)]!
  const stride = (word: string) => Shape.size(shape.slice(at(word) + 1))
  return Result.succeed({
    pages: size("pages"),
    heads: size("heads"),
    slots: size("slots"),
    dim: size("dim"),
    strides: {
      pool,
      base: 0,
      block: stride("pages"),
      head: stride("heads"),
      slot: stride("slots"),
    },
  })
}

/** Two tensors as attention reads pools: no copy, whatever their order. */
const sourceOf = (
  tier: Arena["tier"],
  { keyPages, valuePages }: PageTensors,
): Result.Result<
  { readonly source: Source; readonly pages: number },
  ShapeMismatch | InvalidArgument | DTypeMismatch
> =>
  Result.gen(function* () {
    const keys = yield* read("keyPages", 0, keyPages)
    const values = yield* read("valuePages", 1, valuePages)
    for (const axis of ["pages", "heads", "slots"] as const) {
      const [expected, actual] = [keys[axis], values[axis]]
      if (expected === actual) continue
      return yield* Result.fail(new ShapeMismatch({ tensor: "valuePages", axis, expected, actual }))
    }
    if (keyPages.dtype !== valuePages.dtype) {
      const [expected, actual] = [keyPages.dtype, valuePages.dtype]
      return yield* Result.fail(new DTypeMismatch({ tensor: "valuePages", expected, actual }))
    }
    const layout = yield* Layout.make({
      layers: 1,
      keyHeads: keys.heads,
      keyDim: keys.dim,
      valueDim: values.dim,
      blockSize: keys.slots,
      dtype: keyPages.dtype,
    })
    const pools = [keyPages, valuePages].map((pages) => {
      const pool: Tensor<Layout.Given, "pool"> = {
        ...pages,
        axes: "pool",
        shape: [Shape.size(pages.shape)],
      }
      return pool
    })
    return {
      source: { layout, pools, tier, keys: keys.strides, values: values.strides },
      pages: keys.pages,
    }
  })

/** Pages of a context must be there; cells past it are not looked at. */
const tablesOf = (
  rows: ReadonlyArray<PagedRow>,
  pages: number,
  blockSize: number,
): Result.Result<Uint32Array, InvalidArgument> => {
  const used = rows.map(({ contextLen }) => Math.ceil(contextLen / blockSize))
  const maxBlocks = largest(used, 1)
  const words = new Uint32Array(rows.length * maxBlocks)
  for (const [r, { blocks, contextLen }] of rows.entries()) {
    for (let i = 0; i < used[r]!; i++) {
      const value = blocks[i] ?? -1
      if (!(Number.isSafeInteger(value) && value >= 0 && value < pages)) {
        const name = `block ${i} of ${contextLen} tokens`
        const need = `a page from 0 to ${pages - 1}`
        return Result.fail(new InvalidArgument({ name, value, need }))
      }
      words[r * maxBlocks + i] = value
    }
  }
  return Result.succeed(words)
}

/**
 * Records attention of `q` `[tokens, numQHeads, keyDim]`, the queries of all rows one after another, over pages in
 * dense tensors. They are read in place, by the strides of their axes.
 */
export const pageTensorsTo = (
  rec: Recording.Open,
  tier: Arena["tier"],
  q: Tensor<"f32", "tokens numQHeads headDim">,
  tensors: PageTensors,
  rows: ReadonlyArray<PagedRow>,
  options: Omit<ReadOptions, "layer">,
): Result.Result<States, AttendError | DTypeMismatch> =>
  Result.gen(function* () {
    const bad = optionsError(options) ?? countError(rows)
    if (bad !== undefined) return yield* Result.fail(bad)
    const { source, pages } = yield* sourceOf(tier, tensors)
    const visible = yield* Mask.visible(options, rows)
    const blockTables = yield* tablesOf(rows, pages, source.layout.blockSize)
    const maxBlocks = Math.max(1, blockTables.length / Math.max(1, rows.length))
    return yield* sightTo(rec, source, { blockTables, maxBlocks }, visible, q, options)
  })
