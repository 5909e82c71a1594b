/** Recorded attention over ragged rows: the oracle, and the paged path. @module */
import { Effect, Schema } from "effect"
import { LSE_EMPTY } from "../../kernels/constants.ts"
import { Arena, Attention, Gpu, KvCache, Layout, Lease, Program, Window } from "../../mod.ts"
import { all, check, type Checked, type Distance, numbers, refused } from "./checked.ts"
import { type KvCase, tensor } from "./kv.ts"

const Params = Schema.Struct({
  causal: Schema.Boolean,
  slidingWindow: Schema.NullOr(Schema.Int),
  chunkSize: Schema.NullOr(Schema.Int),
  softCap: Schema.NullOr(Schema.Finite),
  attnScale: Schema.NullOr(Schema.Finite),
})

/** Tokens of a block in the paged path: several blocks a row, and a ragged end. */
const blockSize = 4

const inputsOf = (one: KvCase) => {
  const [q, k, v] = [tensor(one.inputs, "q"), tensor(one.inputs, "k"), tensor(one.inputs, "v")]
  const [, numQHeads = 0, keyDim = 0] = q.shape
  const [, heads = 0] = k.shape
  const [, , valueDim = 0] = v.shape
  const starts = (name: string) => tensor(one.inputs, name).data
  const rows = starts("query_starts").slice(1).map((queryEnd, i) => {
    const [queryStart, keyStart] = [starts("query_starts")[i]!, starts("kv_starts")[i]!]
    const keyEnd = starts("kv_starts")[i + 1]!
    return { queryStart, queryLen: queryEnd - queryStart, keyStart, contextLen: keyEnd - keyStart }
  })
  return { q, k, v, rows, sizes: { numQHeads, heads, keyDim, valueDim } }
}
type Inputs = ReturnType<typeof inputsOf>

interface States {
  readonly out: ArrayLike<number>
  readonly lse: ArrayLike<number>
}

const oracle = ({ q, k, v, rows, sizes }: Inputs, options: Attention.DenseOptions): States => {
  const { heads, numQHeads, keyDim, valueDim } = sizes
  const parts = rows.map(({ queryStart, queryLen, keyStart, contextLen }) => {
    const cut = (data: ReadonlyArray<number>, width: number, from: number, count: number) =>
      Float32Array.from(data.slice(width * from, width * (from + count)))
    return Attention.dense({
      q: cut(q.data, numQHeads * keyDim, queryStart, queryLen),
      k: cut(k.data, heads * keyDim, keyStart, contextLen),
      v: cut(v.data, heads * valueDim, keyStart, contextLen),
      queryLen,
      contextLen,
      numQHeads,
      keyHeads: heads,
      valueHeads: heads,
      keyDim,
      valueDim,
    }, options)
  })
  const join = (name: "out" | "lse") => parts.flatMap((part) => [...part[name]])
  return { out: join("out"), lse: join("lse") }
}

/** Each row appended to a cache of its own, then one launch for the queries of all rows. */
const paged = ({ q, k, v, rows, sizes }: Inputs, options: Attention.ReadOptions) =>
  Effect.scoped(Effect.gen(function* () {
    const { heads, numQHeads, keyDim, valueDim } = sizes
    const layout = yield* Effect.fromResult(
      Layout.make({ layers: 1, keyHeads: heads, keyDim, valueDim, blockSize }),
    )
    const blocks = rows.reduce((sum, row) => sum + Math.ceil(row.contextLen / blockSize), 1)
    const arena = yield* Arena.make(layout, blocks)
    const caches = yield* Effect.forEach(
      rows,
      ({ keyStart, contextLen: tokens }) =>
        Effect.gen(function* () {
          const cut = (data: ReadonlyArray<number>, width: number) =>
            Float32Array.from(data.slice(width * keyStart, width * (keyStart + tokens)))
          const keys = yield* Gpu.upload(
            "f32",
            "layers tokens keyHeads keyDim",
            { layers: 1, tokens, keyHeads: heads, keyDim },
            cut(k.data, heads * keyDim),
          )
          const values = yield* Gpu.upload(
            "f32",
            "layers tokens valueHeads valueDim",
            { layers: 1, tokens, valueHeads: heads, valueDim },
            cut(v.data, heads * valueDim),
          )
          return yield* Effect.fromResult(KvCache.append(KvCache.empty(arena), { keys, values }))
        }),
    )
    const queries = yield* Gpu.upload(
      "f32",
      "tokens numQHeads headDim",
      { tokens: q.shape[0]!, numQHeads, headDim: keyDim },
      Float32Array.from(q.data),
    )
    const counts = rows.map((row) => row.queryLen)
    return yield* Lease.scoped(arena)(Effect.gen(function* () {
      const states = yield* Program.run(Attention.prefill(queries, caches, counts, options))
      const lse = yield* Gpu.read(states.lse)
      return {
        out: yield* Gpu.read(states.out),
        lse: Array.from(lse, (x) => x <= LSE_EMPTY ? -Infinity : x),
      }
    }))
  }))

const compare = (one: KvCase, path: string, { out, lse }: States): Distance =>
  all(
    numbers(`${path} out`, out, tensor(one.expected, "out").data, one.tolerance),
    numbers(`${path} lse`, lse, tensor(one.expected, "lse").data, one.tolerance),
  )

const checkOne = (one: KvCase): Effect.Effect<Checked, Schema.SchemaError, Gpu> =>
  Effect.gen(function* () {
    const params = yield* Schema.decodeUnknownEffect(Params)(one.params)
    const { causal, slidingWindow, chunkSize, softCap, attnScale } = params
    const options = {
      window: slidingWindow === null ? Window.all : Window.last(slidingWindow),
      ...(softCap !== null && { softCap }),
      ...(attnScale !== null && { scale: attnScale }),
      ...(chunkSize !== null && { chunk: chunkSize }),
      causal,
    }
    if (one.refusals.length > 0) {
      return yield* refused(
        one.name,
        one.refusals,
        Effect.suspend(() => paged(inputsOf(one), options)),
      )
    }
    const compared = Effect.suspend(() => {
      const inputs = inputsOf(one)
      const dense = compare(one, "dense", oracle(inputs, options))
      return Effect.map(
        paged(inputs, options),
        (states) => all(dense, compare(one, "paged", states)),
      )
    })
    return yield* check(one.name, compared)
  })

/** Checks every case of a file. */
export const denseAttentionPrefill = (
  cases: ReadonlyArray<KvCase>,
): Effect.Effect<ReadonlyArray<Checked>, Schema.SchemaError, Gpu> => Effect.forEach(cases, checkOne)
