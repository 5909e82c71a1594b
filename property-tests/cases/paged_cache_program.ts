/** Recorded programs over a paged cache: every step's results, and the state that remains. @module */
import { Effect, Result, Schema } from "effect"
import { Gpu, Lease, PagedKvCache, Program, Window } from "../../mod.ts"
import { all, check, type Checked, type Distance, none, numbers, skipped } from "./checked.ts"
import { type KvCase, tensor } from "./kv.ts"
import { storageOf, uploaded, widened } from "./stored.ts"

const Step = Schema.Union([
  Schema.Struct({
    do: Schema.Literal("allocate_blocks"),
    seq: Schema.Number,
    numNewTokens: Schema.Number,
    freeBlockIds: Schema.String,
  }),
  Schema.Struct({
    do: Schema.Literal("append_kv"),
    seq: Schema.Number,
    k: Schema.String,
    v: Schema.String,
  }),
  Schema.Struct({ do: Schema.Literal("gather_kv"), seq: Schema.Number }),
  Schema.Struct({
    do: Schema.Literal("paged_attention"),
    seq: Schema.Number,
    q: Schema.String,
    causal: Schema.optionalKey(Schema.Boolean),
    slidingWindow: Schema.optionalKey(Schema.NullOr(Schema.Number)),
  }),
])

const Params = Schema.Struct({
  numBlocks: Schema.Number,
  blockSize: Schema.Number,
  numKvHeads: Schema.Number,
  headDim: Schema.Number,
  batchSize: Schema.Number,
  maxBlocksPerSeq: Schema.Number,
  dtype: Schema.String,
  steps: Schema.Array(Step),
})

/** Results by the name of their field. */
type Fields = Readonly<Record<string, ArrayLike<number>>>

interface Stepped {
  readonly cache: PagedKvCache
  readonly fields: Fields
}

const input = ({ inputs }: KvCase, name: string) => tensor(inputs, name.slice(1))

const gathered = (cache: PagedKvCache, seq: number) =>
  Effect.scoped(Effect.gen(function* () {
    const { keys, values, length } = yield* Program.run(PagedKvCache.gatherKv(cache, seq))
    return { keys: yield* Gpu.read(keys), values: yield* Gpu.read(values), len: [length] }
  }))

const stepOf = (one: KvCase, cache: PagedKvCache, step: typeof Step.Type) =>
  Effect.gen(function* () {
    const sequence = step.seq
    switch (step.do) {
      case "allocate_blocks": {
        const { cache: next, consumed } = yield* Effect.fromResult(
          PagedKvCache.allocateBlocks(cache, {
            sequence,
            numTokens: step.numNewTokens,
            freeBlockIds: input(one, step.freeBlockIds).data,
          }),
        )
        const fields = { consumed: [consumed], block_table: next.blockTable.flat() }
        return { cache: next, fields }
      }
      case "append_kv": {
        const axes = "tokens numKvHeads headDim"
        const k = yield* uploaded(axes, input(one, step.k))
        const v = yield* uploaded(axes, input(one, step.v))
        // The case says what is stored how, right or wrong.
        const [keys, values] = [k as PagedKvCache.NewRows, v as PagedKvCache.NewRows]
        const next = yield* Effect.fromResult(PagedKvCache.appendKv(cache, sequence, keys, values))
        return { cache: next, fields: { seq_lengths: next.seqLengths } }
      }
      case "gather_kv":
        return { cache, fields: yield* gathered(cache, sequence) }
      case "paged_attention": {
        const { causal = false, slidingWindow = null } = step
        const query = yield* widened("numQHeads tokens headDim", input(one, step.q))
        const window = slidingWindow === null ? Window.all : Window.last(slidingWindow)
        const mask = { causal, window }
        const { out } = yield* Program.run(
          PagedKvCache.pagedAttention(query, cache, sequence, { mask }),
        )
        return { cache, fields: { out: yield* Gpu.read(out) } }
      }
    }
  })

const compare = (one: KvCase, prefix: string, fields: Fields): Distance =>
  all(
    ...Object.entries(one.expected).filter(([name]) => name.startsWith(`${prefix}.`)).map(
      ([name, { data }]) => {
        const got = fields[name.slice(prefix.length + 1)]
        return got === undefined
          ? { ...none, differs: [`${name}: nothing answers to it`] }
          : numbers(name, got, data, one.tolerance)
      },
    ),
  )

/** The state at the end, with what is gathered of the sequences that the case names. */
const finalOf = (one: KvCase, cache: PagedKvCache) =>
  Effect.gen(function* () {
    const fields: Record<string, ArrayLike<number>> = {
      block_table: cache.blockTable.flat(),
      seq_lengths: cache.seqLengths,
    }
    for (const name of Object.keys(one.expected)) {
      const seq = /^final\.keys(\d+)$/.exec(name)?.[1]
      if (seq === undefined) continue
      const { keys, values } = yield* gathered(cache, Number(seq))
      fields[`keys${seq}`] = keys
      fields[`values${seq}`] = values
    }
    return compare(one, "final", fields)
  })

/** Runs the steps, up to the one that must be refused, and compares what each gives. */
const program = (one: KvCase, params: typeof Params.Type, dtype: PagedKvCache.Options["dtype"]) =>
  Effect.scoped(Effect.gen(function* () {
    const { dtype: _, steps, ...sizes } = params
    const refusal = (at: number, { _tag, message }: { _tag: string; message: string }): Distance =>
      at === one.refusedStep && one.refusals.includes(_tag)
        ? none
        : { ...none, differs: [`step ${at}: ${_tag}: ${message}`] }
    const made = yield* Effect.result(PagedKvCache.init({ ...sizes, ...(dtype && { dtype }) }))
    if (Result.isFailure(made)) return refusal(-1, made.failure)
    return yield* Lease.scoped(made.success.pages.arena)(Effect.gen(function* () {
      let cache = made.success
      const found: Array<Distance> = []
      let refused: number | undefined
      for (const [i, step] of steps.entries()) {
        const stepped: Result.Result<Stepped, { _tag: string; message: string }> = yield* Effect
          .result(stepOf(one, cache, step))
        if (Result.isFailure(stepped)) {
          found.push(refusal(i, stepped.failure))
          refused = i
          break
        }
        cache = stepped.success.cache
        found.push(compare(one, `s${i}`, stepped.success.fields))
      }
      if (refused !== one.refusedStep) {
        const why = `no refusal at step ${one.refusedStep}, not ${one.refusals.join(" or ")}`
        if (one.refusals.length > 0) found.push({ ...none, differs: [why] })
      }
      return all(...found, yield* finalOf(one, cache))
    }))
  }))

const checkOne = (one: KvCase): Effect.Effect<Checked, Schema.SchemaError, Gpu> =>
  Effect.gen(function* () {
    const params = yield* Schema.decodeUnknownEffect(Params)(one.params)
    const dtype = storageOf(params.dtype)
    if (dtype === undefined) return skipped(one.name, `no pools of ${params.dtype} yet`)
    return yield* check(one.name, program(one, params, dtype))
  })

/** Checks every case of a file. */
export const pagedCacheProgram = (
  cases: ReadonlyArray<KvCase>,
): Effect.Effect<ReadonlyArray<Checked>, Schema.SchemaError, Gpu> => Effect.forEach(cases, checkOne)
