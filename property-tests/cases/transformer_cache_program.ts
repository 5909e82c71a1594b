/** Recorded programs over `TransformerCache`. @module */
import { type Context, Effect, Result, type Schema, type Scope } from "effect"
import {
  AttnMaskType,
  Gpu,
  Lease,
  Program,
  TransformerCache,
  TransformerCacheMetaData,
  TransformerCacheView,
} from "../../mod.ts"
import { all, check, type Checked, type Distance, equal, none, numbers } from "./checked.ts"
import { type KvCase, type Tensor, tensor } from "./kv.ts"
import { uploaded, widened } from "./stored.ts"
import { type Params, paramsOf, type Step, stepOf } from "./transformer_cache_steps.ts"

const dtypes = { float32: "f32", float16: "f16", bfloat16: "bf16" } as const
type Owner = Context.Service.Shape<typeof Lease.Service>

/** A cache, and the lease that holds it. */
interface Held {
  readonly cache: TransformerCache
  readonly lease: Owner
}

interface Compare {
  readonly one: KvCase
  /** What is recorded of this step, and of nothing where the program is a nested one. */
  readonly prefix: string | undefined
}

const layerOf = ({ cache }: Held, layer: number) =>
  Effect.fromResult(TransformerCache.at(cache, layer))

const under = (
  { lease }: Held,
): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, Lease>> =>
  Lease.under(lease)

const begin = (params: Params, blockSize: number) =>
  Effect.gen(function* () {
    const { maskType, window, starts, dtype, steps: _, ...sizes } = params
    const metadata = yield* Effect.fromResult(
      TransformerCacheMetaData.create({ ...sizes, padTokenId: 0 }),
    )
    const detail = maskType === "full"
      ? { maskType: AttnMaskType.FULL }
      : { maskType: AttnMaskType.SLIDING, size: window ?? 0 }
    const layers = Array.from({ length: sizes.numHiddenLayers }, (_, i) => [i, detail] as const)
    const { batchSize, numHiddenLayers, sequenceLength } = sizes
    const cache = yield* TransformerCache.initCache({
      metadata,
      dtype: dtypes[dtype],
      maskTypeDetails: Object.fromEntries(layers),
      ...(starts !== null && { starts }),
      blockSize: Math.min(blockSize, sequenceLength),
      numBlocks: 8 * batchSize * numHiddenLayers * sequenceLength, // snapshots keep their own
    })
    const lease = yield* Lease.make(cache.views[0]!.arena)
    return { cache, lease }
  })

/** Positions, by row, that lie in places of a view; keys and values there. */
interface Placed {
  readonly positions: ArrayLike<number>
  readonly key: ArrayLike<number>
  readonly value: ArrayLike<number>
}

/** Keys and values of each position, wherever they lie. */
const byPosition = ({ positions, key, value }: Placed, batch: number) => {
  const room = positions.length / batch
  const [keyWidth, valueWidth] = [key.length / positions.length, value.length / positions.length]
  const live = Array.from(positions, (position, place) => ({ position, place }))
    .filter(({ position }) => position >= 0)
    .map((at) => ({ ...at, row: Math.floor(at.place / room) }))
    .sort((a, b) => a.row - b.row || a.position - b.position)
  const cut = (data: ArrayLike<number>, width: number) =>
    live.flatMap(({ place }) => Array.from({ length: width }, (_, i) => data[place * width + i]!))
  return {
    names: live.map(({ row, position }) => `${row}:${position}`),
    key: cut(key, keyWidth),
    value: cut(value, valueWidth),
  }
}

const recorded = ({ one, prefix }: Compare, name: string): Tensor | undefined =>
  prefix === undefined ? undefined : one.expected[`${prefix}.${name}`]

/** Integers must be equal. */
const integers = (at: Compare, name: string, actual: ArrayLike<number>): Distance => {
  const want = recorded(at, name)
  return want === undefined ? none : equal(`${at.prefix}.${name}`, Array.from(actual), want.data)
}

/** What each query sees, without the −1 that pad it: how wide these are is nobody's business. */
const compareVisible = (at: Compare, seen: TransformerCacheView.Visible): Distance => {
  const want = recorded(at, "visible")
  if (want === undefined) return none
  const rowsOf = ({ shape: [batch = 0, tokens = 0, width = 0], data }: {
    readonly shape: ReadonlyArray<number>
    readonly data: ArrayLike<number>
  }) =>
    Array.from(
      { length: batch * tokens },
      (_, row) =>
        Array.from(data).slice(row * width, (row + 1) * width).filter((p) => p !== -1).join(" "),
    )
  const got = { shape: seen.shape, data: seen.positions }
  return equal(`${at.prefix}.visible`, rowsOf(got), rowsOf(want))
}

const compareRows = (at: Compare, view: TransformerCacheView, got: Placed): Distance => {
  const [key, value] = [recorded(at, "key"), recorded(at, "value")]
  if (key === undefined || value === undefined) return none
  const room = key.shape[1]!
  const own = (_: unknown, i: number) =>
    i % room < view.indexs[Math.floor(i / room)]! ? i % room : -1
  const positions = recorded(at, "positions")?.data ??
    Array.from({ length: view.rows.length * room }, own)
  const batch = view.rows.length
  const want = byPosition({ positions, key: key.data, value: value.data }, batch)
  const have = byPosition(got, batch)
  const { tolerance } = at.one
  return all(
    equal(`${at.prefix}.positions`, have.names, want.names),
    numbers(`${at.prefix}.key`, have.key, want.key, tolerance),
    numbers(`${at.prefix}.value`, have.value, want.value, tolerance),
  )
}

const read = (dense: TransformerCacheView.Materialized) =>
  Effect.map(
    Effect.all([Gpu.read(dense.keys), Gpu.read(dense.values)]),
    ([key, value]): Placed => ({ key, value, positions: dense.positions }),
  )

/** The result, and how far it is from what was recorded. */
type Stepped = readonly [Held, Distance]

const concatenate = (
  held: Held,
  at: Compare,
  step: Extract<Step, { do: "concatenate" }>,
) =>
  Effect.gen(function* () {
    const named = (name: string) => tensor(at.one.inputs, name.slice(1))
    const k = yield* uploaded("batch tokens keyHeads keyDim", named(step.k))
    const v = yield* uploaded("batch tokens valueHeads valueDim", named(step.v))
    // The case says what is stored how, right or wrong.
    const { key, value } = { key: k, value: v } as TransformerCacheView.Chunk
    const query = step.q === undefined
      ? undefined
      : yield* widened("batch tokens numQHeads headDim", named(step.q))
    const view = yield* layerOf(held, step.layer)
    const chunk = { key, value, ...(query !== undefined && { query }) }
    const made = yield* under(held)(Program.run(Effect.gen(function* () {
      const next = yield* TransformerCacheView.concatenateToCache(view, chunk)
      const { mask } = next
      const states = query && (yield* TransformerCacheView.attend(query, next.view, { mask }))
      return { next, states }
    })))
    const { next, states } = made
    const cache = yield* Effect.fromResult(
      TransformerCache.with(held.cache, step.layer, next.view),
    )
    const rows = compareRows(at, next.view, yield* read(next))
    const out = recorded(at, "out")
    const attended = out === undefined || states === undefined
      ? none
      : numbers(`${at.prefix}.out`, yield* Gpu.read(states.out), out.data, at.one.tolerance)
    const seen = next.visible!
    const same = all(
      integers(at, "indexs", next.view.indexs),
      compareVisible(at, seen),
    )
    return [{ ...held, cache }, all(same, rows, attended)] as const
  })

const lists = (at: Compare, { cache }: Held): Distance =>
  all(
    integers(at, "indexs", cache.views[0]!.indexs),
    integers(at, "starts", cache.views[0]!.starts),
  )

const insert = (
  held: Held,
  at: Compare,
  { slot, other }: Extract<Step, { do: "insert" }>,
  blockSize: number,
): Effect.Effect<Stepped, Failure, Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    const nested = yield* program({ one: at.one, prefix: undefined }, other.params, blockSize)
    const made = TransformerCache.insert(held.cache, nested.held.cache, slot, {
      lease: nested.held.lease,
    })
    const next = { ...held, cache: yield* under(held)(Program.run(made)) }
    return [next, lists(at, next)] as const
  })

/** By way of text, into an arena of its own. */
const roundtrip = (held: Held, at: Compare) =>
  Effect.gen(function* () {
    const text = JSON.stringify(yield* under(held)(TransformerCache.toPure(held.cache)))
    const { numBlocks } = held.lease.arena.ledgers[0]!
    const cache = yield* TransformerCache.fromPure(JSON.parse(text), { numBlocks })
    const next = { cache, lease: yield* Lease.make(cache.views[0]!.arena) }
    const same = cache.toString() === held.cache.toString()
    const differs = same ? [] : [`restored as ${cache}, not ${held.cache}`]
    return [next, all(lists(at, next), { ...none, differs })] as const
  })

interface Failure {
  readonly _tag: string
  readonly message: string
}

const pure = (
  held: Held,
  at: Compare,
  next: Result.Result<TransformerCache, Failure>,
): Effect.Effect<Stepped, Failure> =>
  Effect.map(Effect.fromResult(next), (cache) => {
    const changed = { ...held, cache }
    return [changed, lists(at, changed)]
  })

const doStep = (
  held: Held,
  at: Compare,
  step: Step,
  kept: Map<string, Held>,
  blockSize: number,
): Effect.Effect<Stepped, Failure, Gpu | Scope.Scope> => {
  const { cache } = held
  switch (step.do) {
    case "concatenate":
      return concatenate(held, at, step)
    case "insert":
      return insert(held, at, step, blockSize)
    case "insert_starts":
      return pure(held, at, TransformerCache.insertStarts(cache, step.starts, step.slot))
    case "insert_index":
      return pure(held, at, TransformerCache.insertIndex(cache, step.index, step.slot))
    case "roundtrip_pure":
      return roundtrip(held, at)
    case "snapshot":
      kept.set(step.as, held)
      return Effect.succeed([held, none])
    case "restore":
      return Effect.succeed([kept.get(step.from) ?? held, none])
  }
}

/** The state that remains, and what a step was refused with. */
interface Ran {
  readonly held: Held
  readonly distance: Distance
  readonly refusal: { readonly step: number; readonly why: Failure } | undefined
}

const program = (
  at: Compare,
  params: Params,
  blockSize: number,
): Effect.Effect<Ran, Failure, Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    let held: Held = yield* begin(params, blockSize)
    let distance = none
    const kept = new Map<string, Held>()
    for (const [i, json] of (params.steps ?? []).entries()) {
      const step = yield* stepOf(json)
      const here = { ...at, prefix: at.prefix === undefined ? undefined : `s${i}` }
      const tried = yield* Effect.result(doStep(held, here, step, kept, blockSize))
      if (Result.isFailure(tried)) {
        if (at.prefix === undefined) return yield* Effect.fail(tried.failure)
        return { held, distance, refusal: { step: i, why: tried.failure } }
      }
      const [next, apart] = tried.success
      held = next
      distance = all(distance, apart)
    }
    return { held, distance, refusal: undefined }
  })

/** The state at the end, or before what was refused. */
const final = (one: KvCase, held: Held) =>
  Effect.gen(function* () {
    const parts = yield* Effect.forEach(held.cache.views, (view, layer) =>
      Effect.gen(function* () {
        const at = { one, prefix: `final.L${layer}` }
        const dense = yield* under(held)(Program.run(TransformerCacheView.materialize(view!)))
        return all(
          integers(at, "indexs", view!.indexs),
          integers(at, "starts", view!.starts),
          compareRows(at, view!, yield* read(dense)),
        )
      }))
    return all(...parts)
  })

const judge = (one: KvCase, { held, distance, refusal }: Ran) =>
  Effect.gen(function* () {
    const rest = yield* final(one, held)
    if (refusal === undefined) {
      const wanted = one.refusals.join(" or ")
      return one.refusals.length === 0
        ? all(distance, rest)
        : { ...none, differs: [`no refusal, not ${wanted}`] }
    }
    const { step, why } = refusal
    if (!one.refusals.includes(why._tag)) return yield* Effect.fail(why)
    const { refusedStep = step } = one
    const differs = step === refusedStep ? [] : [`step ${step} was refused, not ${refusedStep}`]
    return all(distance, rest, { ...none, differs })
  })

/** Tokens of a block: rows in one piece, and in several. */
const blockSizes = [Infinity, 3, 1]

const checkOne = (one: KvCase): Effect.Effect<Checked, Schema.SchemaError, Gpu> =>
  Effect.gen(function* () {
    const params = yield* paramsOf(one.params)
    const runs = blockSizes.map((blockSize) =>
      Effect.scoped(
        Effect.matchEffect(program({ one, prefix: "" }, params, blockSize), {
          onFailure: (why: Failure) =>
            one.refusals.includes(why._tag) && Object.keys(one.expected).length === 0
              ? Effect.succeed(none)
              : Effect.fail(why),
          onSuccess: (ran) => judge(one, ran),
        }),
      )
    )
    return yield* check(one.name, Effect.map(Effect.all(runs), (parts) => all(...parts)))
  })

/** Checks every case of a file. */
export const transformerCacheProgram = (
  cases: ReadonlyArray<KvCase>,
): Effect.Effect<ReadonlyArray<Checked>, Schema.SchemaError, Gpu> => Effect.forEach(cases, checkOne)
