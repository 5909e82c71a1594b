/** Reading caches back as dense tensors. @module */
import { Effect, Result } from "effect"
import { gather as gatherKernels } from "../../kernels/gather.ts"
import type { ShapeMismatch } from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import * as Shape from "../tensor/Shape.ts"
import type { Tensor } from "../tensor/value.ts"
import { address } from "./address.ts"
import type { Arena } from "./Arena.ts"
import { during, type Needs } from "./Flight.ts"
import * as Layout from "./Layout.ts"
import { tablesOf } from "./Plan.ts"
import { type RealizeError, realizeIn } from "./Realize.ts"
import * as Table from "./Table.ts"
import type { KvCache } from "./value.ts"

/** Keys and values of a cache as dense tensors, widened to f32 (exact for every storage). */
export interface Gathered {
  readonly keys: Tensor<"f32", "layers tokens keyHeads keyDim">
  readonly values: Tensor<"f32", "layers tokens valueHeads valueDim">
}

/** Positions [from, to) of a placed cache, to go to rows `row`, `row + 1`, … Internal. */
export interface Piece {
  readonly cache: KvCache
  readonly from: number
  readonly to: number
  readonly row: number
}

const slotsOf = ({ cache, from, to }: Piece, group: number): ReadonlyArray<number> => {
  const { blockSize } = cache.arena.layout
  const table = tablesOf(cache.node)![group]!
  return Array.from({ length: to - from }, (_, i) => {
    const position = from + i
    return Table.at(table, Math.floor(position / blockSize))!.id * blockSize + position % blockSize
  })
}

/** Pieces whose rows follow one another are read by one launch. */
const runsOf = (pieces: ReadonlyArray<Piece>): ReadonlyArray<ReadonlyArray<Piece>> => {
  const runs: Array<Array<Piece>> = []
  for (const piece of pieces) {
    const last = runs.at(-1)?.at(-1)
    if (last !== undefined && last.row + last.to - last.from === piece.row) runs.at(-1)!.push(piece)
    else runs.push([piece])
  }
  return runs
}

/** Records the reading of one run of pieces of one layer and half, into rows of `out` from `row` on. */
const runTo = (
  rec: Recording.Open,
  arena: Arena,
  layer: number,
  kind: Layout.Kind,
  slots: Tensor<"u32", "tokens">,
  out: Tensor<"f32", string>,
  row: number,
): Result.Result<unknown, ShapeMismatch> => {
  const { pool, params } = address(arena, layer, kind)
  return Recording.launchTo(rec, gatherKernels[arena.layout.dtype], {
    reads: { pool, slots, out },
    writes: {},
    params: { rowBase: row, ...params },
    overrides: { WG: 64 },
  })
}

const slotsTensor = (run: ReadonlyArray<Piece>, group: number): Tensor<"u32", "tokens"> => {
  const flat = Uint32Array.from(run.flatMap((piece) => slotsOf(piece, group)))
  return Recording.fresh("u32", "tokens", [flat.length], flat)
}

const covers = (pieces: ReadonlyArray<Piece>, tokens: number): boolean =>
  pieces.reduce((sum, { from, to }) => sum + to - from, 0) === tokens

/**
 * Records the reading of one layer's keys or values: `tokens` rows, zeros where no piece is. Their caches are
 * placed. One launch for each run of rows.
 */
export const gatherLayerTo = (
  rec: Recording.Open,
  arena: Arena,
  layer: number,
  kind: Layout.Kind,
  tokens: number,
  pieces: ReadonlyArray<Piece>,
): Result.Result<Tensor<"f32", "tokens heads dim">, ShapeMismatch> =>
  Result.gen(function* () {
    const { heads, dim } = Layout.half(arena.layout, kind)
    const shape = [tokens, heads, dim]
    const zeros = covers(pieces, tokens) ? undefined : new Float32Array(Shape.size(shape))
    const out = Recording.fresh("f32", "tokens heads dim", shape, zeros)
    const group = Layout.groupOf(arena.layout, layer)
    for (const run of runsOf(pieces)) {
      yield* runTo(rec, arena, layer, kind, slotsTensor(run, group), out, run[0]!.row)
    }
    return out
  })

/**
 * Records the reading of these pieces into `tokens` rows, zeros where no piece is. Their caches are placed.
 * One launch for each layer and half, and for each run of rows.
 */
export const gatherTo = (
  rec: Recording.Open,
  arena: Arena,
  tokens: number,
  pieces: ReadonlyArray<Piece>,
): Result.Result<Gathered, ShapeMismatch> =>
  Result.gen(function* () {
    const { layout } = arena
    const runs = runsOf(pieces)
    const covered = covers(pieces, tokens)
    const make = <const A extends string>(axes: A, kind: Layout.Kind): Tensor<"f32", A> => {
      const { heads, dim } = Layout.half(layout, kind)
      const shape = [layout.layers, tokens, heads, dim]
      return Recording.fresh(
        "f32",
        axes,
        shape,
        covered ? undefined : new Float32Array(Shape.size(shape)),
      )
    }
    const keys = make("layers tokens keyHeads keyDim", "keys")
    const values = make("layers tokens valueHeads valueDim", "values")
    for (const [group, { layers }] of layout.groups.entries()) {
      for (const run of runs) {
        const slots = slotsTensor(run, group)
        for (const layer of layers) {
          for (const [kind, out] of [["keys", keys], ["values", values]] as const) {
            yield* runTo(rec, arena, layer, kind, slots, out, layer * tokens + run[0]!.row)
          }
        }
      }
    }
    return { keys, values }
  })

/** Rows of the layers of one group, widened to f32: `[layers, tokens, heads, dim]`. Internal. */
export interface GroupRows {
  readonly keys: Tensor<"f32", string>
  /** Undefined where they are part of the keys. */
  readonly values: Tensor<"f32", string> | undefined
}

/**
 * Records the reading of one piece in the layers of one group: they see positions that others may not. Its cache
 * is placed. One launch a layer and half.
 */
export const gatherGroupTo = (
  rec: Recording.Open,
  group: number,
  piece: Piece,
): Result.Result<GroupRows, ShapeMismatch> =>
  Result.gen(function* () {
    const { arena, arena: { layout } } = piece.cache
    const { layers } = layout.groups[group]!
    const tokens = piece.to - piece.from
    const slots = slotsTensor([piece], group)
    const half = (kind: Layout.Kind): Result.Result<Tensor<"f32", string>, ShapeMismatch> =>
      Result.gen(function* () {
        const { heads, dim } = Layout.half(layout, kind)
        const out = Recording.fresh("f32", "layers tokens heads dim", [
          layers.length,
          tokens,
          heads,
          dim,
        ])
        for (const [i, layer] of layers.entries()) {
          yield* runTo(rec, arena, layer, kind, slots, out, i * tokens)
        }
        return out
      })
    const keys = yield* half("keys")
    return { keys, values: layout.placement === "latent" ? undefined : yield* half("values") }
  })

/**
 * Brings a cache's rows together: positions from the first that every layer still sees up to the length.
 * Realises the cache first. O(tokens × layers).
 */
export const gather = (cache: KvCache): Effect.Effect<Gathered, RealizeError, Needs> =>
  during(
    "gather a cache",
    [cache],
    Effect.fnUntraced(function* (flight) {
      yield* realizeIn(flight, "gather a cache")
      const { arena, length } = cache
      const from = Math.max(...cache.starts)
      const whole = { cache, from, to: length, row: 0 }
      return yield* Effect.fromResult(
        gatherTo(flight.transaction, arena, length - from, [whole]),
      )
    }),
  )
