/** Recorded attention over ragged rows: the oracle, and the paged path. @module */
import { Effect, Result, Schema } from "effect"
import { LSE_EMPTY } from "../../kernels/constants.ts"
import {
  Arena,
  Attention,
  Gpu,
  InvalidArgument,
  KvCache,
  Layout,
  Lease,
  Program,
  Shape,
  ShapeMismatch,
  Window,
} from "../../mod.ts"
import { all, check, type Checked, type Distance, numbers, refused } from "./checked.ts"
import { type KvCase, tensor } from "./kv.ts"
import { widened } from "./stored.ts"

const Params = Schema.Struct({
  causal: Schema.Boolean,
  slidingWindow: Schema.NullOr(Schema.Number),
  chunkSize: Schema.NullOr(Schema.Number),
  softCap: Schema.NullOr(Schema.Number),
  attnScale: Schema.NullOr(Schema.Number),
})

/** Tokens of a block in the paged path: several blocks a row, and a ragged end. */
const blockSize = 4

/** Starts belong to the case, for a batch of caches has none: rows lie one after another, over all tokens. */
const startsError = (name: string, starts: ReadonlyArray<number>, tokens: number) => {
  const [first = -1] = starts
  if (first !== 0) return new InvalidArgument({ name: `${name}[0]`, value: first, need: "0" })
  for (const [i, value] of starts.entries()) {
    const least = starts[i - 1] ?? 0
    if (Number.isSafeInteger(value) && value >= least) continue
    const need = `a whole number, at least ${least}`
    return new InvalidArgument({ name: `${name}[${i}]`, value, need })
  }
  const actual = starts.at(-1)!
  if (actual === tokens) return undefined
  return new ShapeMismatch({ tensor: name, axis: "tokens", expected: tokens, actual })
}

const inputsOf = (one: KvCase) =>
  Result.gen(function* () {
    const [q, k, v] = [tensor(one.inputs, "q"), tensor(one.inputs, "k"), tensor(one.inputs, "v")]
    const [tokens = 0, numQHeads = 0] = q.shape
    const [kept = 0, heads = 0, keyDim = 0] = k.shape
    const [, , valueDim = 0] = v.shape
    const queryStarts = tensor(one.inputs, "query_starts").data
    const keyStarts = tensor(one.inputs, "kv_starts").data
    const [expected, actual] = [queryStarts.length, keyStarts.length]
    const bad = startsError("query_starts", queryStarts, tokens) ??
      startsError("kv_starts", keyStarts, kept) ??
      (expected === actual
        ? undefined
        : new ShapeMismatch({ tensor: "kv_starts", axis: "rows", expected, actual })) ??
      Shape.sizesError("v", v.shape, { tokens: kept, heads, valueDim })
    if (bad !== undefined) return yield* Result.fail(bad)
    const rows = queryStarts.slice(1).map((queryEnd, i) => {
      const [queryStart, keyStart] = [queryStarts[i]!, keyStarts[i]!]
      const contextLen = keyStarts[i + 1]! - keyStart
      return { queryStart, queryLen: queryEnd - queryStart, keyStart, contextLen }
    })
    const sizes = { numQHeads, heads, keyDim, valueDim }
    return { q, k, v, rows, sizes }
  })
type Inputs = Result.Result.Success<ReturnType<typeof inputsOf>>

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
    const { heads, keyDim, valueDim } = sizes
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
    const queries = yield* widened("tokens numQHeads headDim", q)
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
      // A chunk is "same chunk and causal", whatever else the case says.
      causal: causal || chunkSize !== null,
    }
    if (one.refusals.length > 0) {
      return yield* refused(
        one.name,
        one.refusals,
        Effect.flatMap(Effect.fromResult(inputsOf(one)), (inputs) => paged(inputs, options)),
      )
    }
    const compared = Effect.flatMap(Effect.fromResult(inputsOf(one)), (inputs) => {
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
