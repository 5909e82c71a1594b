/** Attention over pages, beside the oracle. @module */
import { Effect, Result, type Scope } from "effect"
import {
  Attention,
  Gpu,
  type Gpu as Device,
  type KvCache,
  type Layout,
  type Lease,
  PageAttention,
  Pages,
  Program,
  Recording,
  Window,
} from "../../mod.ts"
import * as Shelf from "./shelf.ts"
import { element, pack } from "../../testing/world/storage.ts"

/** Pages by number, and rows of a batch over some of them. */
export interface Problem {
  readonly pages: number
  readonly slots: number
  readonly heads: number
  readonly group: number
  readonly keyDim: number
  readonly valueDim: number
  readonly dtype: Layout.Given
  readonly rows: ReadonlyArray<
    { readonly blocks: ReadonlyArray<number>; readonly contextLen: number }
  >
  readonly scale: number | undefined
  readonly softCap: number | undefined
  readonly window: number | undefined
}

/** Element i of a slot's head: rows are numbered by page and slot. */
const at = (
  p: Problem,
  kind: Layout.Kind,
  page: number,
  slot: number,
  head: number,
  i: number,
) => element(page * p.slots + slot, 0, kind, head, i)

const seen = ({ rows, slots }: Problem): ReadonlySet<number> =>
  new Set(
    rows.flatMap(({ blocks, contextLen }) =>
      Array.from(
        { length: contextLen },
        (_, i) => blocks[Math.floor(i / slots)]! * slots + i % slots,
      )
    ),
  )

/** Pages in an order of axes; slots that no row sees hold `poison`. */
export const tensorOf = (
  p: Problem,
  kind: Layout.Kind,
  axes: PageAttention.PageOrder,
  poison: number,
): PageAttention.PageTensor => {
  const live = seen(p)
  const dim = kind === "keys" ? p.keyDim : p.valueDim
  const [first, second] = axes === "pages heads slots dim" ? [p.pages, p.heads] : [p.heads, p.pages]
  const data: Array<number> = []
  for (let a = 0; a < first; a++) {
    for (let b = 0; b < second; b++) {
      const [page, head] = axes === "pages heads slots dim" ? [a, b] : [b, a]
      for (let slot = 0; slot < p.slots; slot++) {
        for (let i = 0; i < dim; i++) {
          data.push(live.has(page * p.slots + slot) ? at(p, kind, page, slot, head, i) : poison)
        }
      }
    }
  }
  const shape = [first, second, p.slots, dim]
  // The packing of numbers knows no NaN.
  const packed = p.dtype === "f32"
    ? Float32Array.from(data)
    : Uint16Array.from(data, (x) => Number.isNaN(x) ? 0x7fff : pack(p.dtype, [x])[0]!)
  return Recording.fresh(p.dtype, axes, shape, packed)
}

/** Queries of all rows. */
export const queryOf = (
  p: Problem,
): { readonly data: ReadonlyArray<number>; readonly shape: ReadonlyArray<number> } => {
  const heads = p.heads * p.group
  const data = p.rows.flatMap((_, row) =>
    Array.from({ length: heads * p.keyDim }, (_, i) => element(row, 9, "keys", i >> 6, i & 63))
  )
  return { data, shape: [p.rows.length, heads, p.keyDim] }
}

/** The rows as they are asked for. */
export const optionsOf = (p: Problem): PageAttention.Options => {
  const { data, shape } = queryOf(p)
  return {
    query: Recording.fresh("f32", "numSeqs numHeads headDim", shape, Float32Array.from(data)),
    contextLens: p.rows.map(({ contextLen }) => contextLen),
    blockTables: p.rows.map(({ blocks }) => blocks),
    attnScale: p.scale,
    attnLogitsSoftCap: p.softCap,
    slidingWindow: p.window,
  }
}

/** What the oracle says. */
export const dense = (p: Problem): ReadonlyArray<number> =>
  p.rows.flatMap(({ blocks, contextLen }, row) => {
    const size = p.heads * p.group * p.keyDim
    const numbers = (kind: Layout.Kind, dim: number) =>
      Array.from(
        { length: contextLen },
        (_, t) =>
          Array.from({ length: p.heads * dim }, (_, i) =>
            at(
              p,
              kind,
              blocks[Math.floor(t / p.slots)]!,
              t % p.slots,
              Math.floor(i / dim),
              i % dim,
            )),
      )
        .flat()
    return [
      ...Attention.dense({
        q: queryOf(p).data.slice(row * size, (row + 1) * size),
        k: numbers("keys", p.keyDim),
        v: numbers("values", p.valueDim),
        queryLen: 1,
        contextLen,
        numQHeads: p.heads * p.group,
        keyHeads: p.heads,
        valueHeads: p.heads,
        keyDim: p.keyDim,
        valueDim: p.valueDim,
      }, {
        ...(p.scale !== undefined && { scale: p.scale }),
        ...(p.softCap !== undefined && { softCap: p.softCap }),
        ...(p.window !== undefined && { window: Window.last(p.window) }),
      }).out,
    ]
  })

type RunError = Program.RunError

/** Numbers that a device gives. */
type Read<E, R> = Effect.Effect<Float32Array, E, R | Scope.Scope>

/** `pageAttention` over tensors in these orders, with hints besides. */
export const overTensors = (
  p: Problem,
  orders: readonly [keys: PageAttention.PageOrder, values: PageAttention.PageOrder],
  poison: number,
  hints: Partial<PageAttention.Options> = {},
): Read<PageAttention.PageAttentionError | RunError, Device> =>
  Effect.gen(function* () {
    const { out } = yield* Program.run(Effect.suspend(() =>
      PageAttention.pageAttention({
        ...optionsOf(p),
        ...hints,
        keyPages: tensorOf(p, "keys", orders[0], poison),
        valuePages: tensorOf(p, "values", orders[1], poison),
      })
    ))
    return yield* Gpu.read(out)
  })

/** Only what some row sees is written, in runs from each page's first slot. */
export const overPages = (
  p: Problem,
  pool: Pages,
): Read<PageAttention.PageAttentionError | KvCache.RealizeError | RunError, Device | Lease> =>
  Effect.gen(function* () {
    const live = [...seen(p)].sort((a, b) => a - b)
    const runs = Array.from({ length: p.pages }, (_, page): Pages.Run => {
      const own = live.filter((slot) => Math.floor(slot / p.slots) === page)
      return { page, offset: 0, from: own.length && live.indexOf(own[0]!), count: own.length }
    })
    const rows = (kind: Layout.Kind, dim: number) =>
      live.flatMap((slot) =>
        Array.from(
          { length: p.heads * dim },
          (_, i) =>
            at(p, kind, Math.floor(slot / p.slots), slot % p.slots, Math.floor(i / dim), i % dim),
        )
      )
    const { out } = yield* Program.run(Effect.suspend(() => {
      const keys = Recording.fresh(
        p.dtype,
        "layers tokens keyHeads keyDim",
        [1, live.length, p.heads, p.keyDim],
        pack(p.dtype, rows("keys", p.keyDim)),
      )
      const values = Recording.fresh(
        p.dtype,
        "layers tokens valueHeads valueDim",
        [1, live.length, p.heads, p.valueDim],
        pack(p.dtype, rows("values", p.valueDim)),
      )
      const pages = Result.getOrThrow(Pages.write(pool, { keys, values }, runs))
      return PageAttention.pageAttention({ ...optionsOf(p), pages })
    }))
    return yield* Gpu.read(out)
  })

/** An arena that holds such pages. */
export const shelfOf = (
  p: Problem,
): { readonly shelf: Shelf.Shelf; readonly pool: Pages } => {
  const shelf = Shelf.make({
    layers: 1,
    keyHeads: p.heads,
    keyDim: p.keyDim,
    valueDim: p.valueDim,
    blockSize: p.slots,
    dtype: p.dtype,
  })
  return { shelf, pool: Result.getOrThrow(Pages.make(shelf.world.arena, p.pages)) }
}

/** Orders of keys and values. */
export const both: ReadonlyArray<readonly [PageAttention.PageOrder, PageAttention.PageOrder]> = [
  ["pages heads slots dim", "pages heads slots dim"],
  ["heads pages slots dim", "heads pages slots dim"],
  ["pages heads slots dim", "heads pages slots dim"],
]

/** A problem of which nothing is special. */
export const one: Problem = {
  pages: 5,
  slots: 4,
  heads: 2,
  group: 3,
  keyDim: 8,
  valueDim: 8,
  dtype: "f32",
  rows: [{ blocks: [3, 1, -1], contextLen: 7 }, { blocks: [0, 2, 4], contextLen: 9 }],
  scale: undefined,
  softCap: undefined,
  window: undefined,
}
