/**
 * Keys, values and queries that are no numbers, or nearly none: where they are not seen they change nothing, bit for
 * bit; where they are, the answer is the oracle's.
 *
 * Every case is played twice, in an arena whose blocks held ordinary numbers before and in one whose blocks held
 * hostile ones: so padding, unused slots of blocks and slots of others are hostile too.
 *
 * @module
 */
import { Effect } from "effect"
import fc from "fast-check"
import { Arena, Attention, Gpu, KvCache, Layout, Lease, Program, Tensor } from "../../mod.ts"

/** What is put somewhere: no numbers, the ends of f16 and f32, and numbers below their normal ones. */
export const specials: ReadonlyArray<number> = [
  NaN,
  Infinity,
  -Infinity,
  -0,
  65504,
  -65504,
  1e38,
  -1e38,
  1e-40,
  -1e-45,
]

/** A place of a batch, and what is put there. */
export interface Spot {
  readonly row: number
  readonly position: number
  readonly half: "keys" | "values"
  readonly head: number
  readonly element: number
  readonly value: number
}

/** One batch. */
export interface Case {
  readonly dtype: Layout.Storage
  readonly placement: Layout.Placement
  /** 3 is for the general kernel only, 8 for that in registers too. */
  readonly dim: number
  readonly blockSize: number
  readonly rows: ReadonlyArray<
    { readonly length: number; readonly queries: number; readonly start: number }
  >
  readonly last: number | undefined
  readonly softCap: number | undefined
  readonly spots: ReadonlyArray<Spot>
  /** In the queries: by token, and element of its first head. */
  readonly asked: ReadonlyArray<readonly [token: number, element: number, value: number]>
}

const special = fc.constantFrom(...specials)

/** Batches of few rows and short contexts. */
export const values: fc.Arbitrary<Case> = fc.record({
  dtype: fc.constantFrom("f32", "f16", "bf16", "int8"),
  placement: fc.constantFrom("perLayer", "fused", "interleaved"),
  dim: fc.constantFrom(3, 8),
  blockSize: fc.constantFrom(1, 4, 16),
  rows: fc.array(
    fc.record({
      // From 128 positions on a context may be attended in parts.
      length: fc.oneof(
        { weight: 4, arbitrary: fc.integer({ min: 1, max: 40 }) },
        fc.integer({ min: 130, max: 300 }),
      ),
      queries: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 20 })),
      start: fc.nat(3),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  last: fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined }),
  softCap: fc.option(fc.constant(5), { nil: undefined, freq: 3 }),
  spots: fc.array(
    fc.record({
      row: fc.nat(2),
      position: fc.oneof(fc.nat(39), fc.nat(299)),
      half: fc.constantFrom("keys", "values"),
      head: fc.nat(1),
      element: fc.nat(7),
      value: special,
    }),
    { maxLength: 4 },
  ),
  asked: fc.array(fc.tuple(fc.nat(40), fc.nat(7), special), { maxLength: 1 }),
})

/** Heads of keys, and of values. */
export const kvHeads = 2
/** Query heads that share one. */
export const group = 2
/** Heads of queries. */
export const numQHeads: number = kvHeads * group

const ordinary = (n: number, seed: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: n }, (_, i) => (Math.imul(i + 7 * seed + 1, 0x9e3779b1) >> 24) / 64)

/** Numbers of a row, with the spots of it if they are wanted. */
export const given = (
  { rows, dim, spots }: Case,
  row: number,
  half: Spot["half"],
  hostile: boolean,
): Float32Array<ArrayBuffer> => {
  const { length } = rows[row]!
  const data = ordinary(length * kvHeads * dim, 2 * row + (half === "keys" ? 0 : 1))
  for (const spot of hostile ? spots : []) {
    if (spot.row % rows.length !== row || spot.half !== half) continue
    data[((spot.position % length) * kvHeads + spot.head) * dim + spot.element % dim] = spot.value
  }
  return data
}

/** Queries of each row. */
export const countsOf = ({ rows }: Case): ReadonlyArray<number> =>
  rows.map(({ length, queries }) => Math.min(length, queries))

/** Queries of all rows. */
export const queries = (one: Case, hostile: boolean): Float32Array<ArrayBuffer> => {
  const tokens = countsOf(one).reduce((sum, n) => sum + n, 0)
  const data = ordinary(tokens * numQHeads * one.dim, 99)
  for (const [token, element, value] of hostile ? one.asked : []) {
    data[(token % tokens) * numQHeads * one.dim + element % one.dim] = value
  }
  return data
}

/** What came of a batch, and the rows as the arena holds them. */
export interface Played {
  readonly out: Float32Array
  readonly lse: Float32Array
  readonly held: ReadonlyArray<{ readonly keys: Float32Array; readonly values: Float32Array }>
}

const optionsOf = ({ rows, last, softCap }: Case): Attention.ReadOptions => ({
  starts: rows.map(({ start }) => start),
  ...(last !== undefined && { window: { last, sinks: 0 } }),
  ...(softCap !== undefined && { softCap }),
})

const appended = (
  arena: Arena,
  { dim }: Case,
  keys: Float32Array<ArrayBuffer>,
  vals: Float32Array<ArrayBuffer>,
) =>
  Effect.gen(function* () {
    const dtype = Layout.givenAs(arena.layout)
    const tokens = keys.length / (kvHeads * dim)
    const k = yield* Gpu.upload("f32", "layers tokens keyHeads keyDim", {
      layers: 1,
      tokens,
      keyHeads: kvHeads,
      keyDim: dim,
    }, keys)
    const v = yield* Gpu.upload("f32", "layers tokens valueHeads valueDim", {
      layers: 1,
      tokens,
      valueHeads: kvHeads,
      valueDim: dim,
    }, vals)
    const rows = yield* Program.run(
      Effect.all({ keys: Tensor.cast(k, dtype), values: Tensor.cast(v, dtype) }),
    )
    return yield* Effect.fromResult(KvCache.append(KvCache.empty(arena), rows))
  })

/** Plays a batch in an arena whose blocks have all been somebody else's. */
export const play = (one: Case, hostile: boolean): Effect.Effect<Played, unknown, Gpu> =>
  Effect.scoped(Effect.gen(function* () {
    const { dim, blockSize, dtype, placement, rows } = one
    const layout = yield* Effect.fromResult(
      Layout.make({ layers: 1, keyHeads: kvHeads, keyDim: dim, blockSize, dtype, placement }),
    )
    const blocks = rows.reduce((sum, { length }) => sum + Math.ceil(length / blockSize), 0)
    const arena = yield* Arena.make(layout, blocks)
    const filler = Float32Array.from(
      { length: blocks * blockSize * kvHeads * dim },
      (_, i) => hostile ? specials[i % specials.length]! : 0.5,
    )
    yield* Effect.scoped(
      Lease.scoped(arena)(
        Effect.flatMap(
          appended(arena, one, filler, filler),
          (cache) => Program.run(KvCache.realize([cache])),
        ),
      ),
    )
    return yield* Lease.scoped(arena)(Effect.gen(function* () {
      const caches: Array<KvCache> = []
      for (const row of rows.keys()) {
        caches.push(
          yield* appended(
            arena,
            one,
            given(one, row, "keys", hostile),
            given(one, row, "values", hostile),
          ),
        )
      }
      const counts = countsOf(one)
      const tokens = counts.reduce((sum, n) => sum + n, 0)
      const q = yield* Gpu.upload("f32", "tokens numQHeads headDim", {
        tokens,
        numQHeads,
        headDim: dim,
      }, queries(one, hostile))
      const made = yield* Program.run(Effect.gen(function* () {
        const states = yield* Attention.prefill(q, caches, counts, optionsOf(one))
        return { ...states, held: yield* Effect.forEach(caches, KvCache.gather) }
      }))
      return {
        out: yield* Gpu.read(made.out),
        lse: yield* Gpu.read(made.lse),
        held: yield* Effect.forEach(
          made.held,
          ({ keys, values }) => Effect.all({ keys: Gpu.read(keys), values: Gpu.read(values) }),
        ),
      }
    }))
  }))
