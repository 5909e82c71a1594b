/** Recorded programs over a fused buffer of sequence slots. @module */
import { Effect, Schema } from "effect"
import {
  Arena,
  ContinuousBatchingKvCache as View,
  ContinuousBatchingKvCacheCollection as Collection,
  Gpu,
  Lease,
  Program,
} from "../../mod.ts"
import { all, check, type Checked, type Distance, numbers, refused } from "./checked.ts"
import { type KvCase, tensor } from "./kv.ts"

const kind = Schema.Literals(["key", "value"])
const { Number: Num, Struct } = Schema
const element = { kind, layer: Num, bs: Num, head: Num, tok: Num, dim: Num }
const Step = Schema.Union([
  Struct({ do: Schema.Literal("info") }),
  Struct({ do: Schema.Literal("load"), ...element, width: Num }),
  Struct({ do: Schema.Literal("store"), ...element, values: Schema.Array(Num) }),
  Struct({ do: Schema.Literal("read_sequence"), kind, layer: Num, bs: Num }),
  Struct({
    do: Schema.Literal("block_paged_ptr"),
    kind,
    layer: Num,
    bs: Num,
    startTok: Num,
    head: Num,
    dim: Num,
  }),
  Struct({ do: Schema.Literal("row_col"), bs: Num, tok: Num, head: Num }),
])
const Params = Struct({
  numBlocks: Num,
  kvDim: Num,
  numLayers: Num,
  maxSeqLen: Num,
  numHeads: Num,
  headSize: Num,
  isMla: Schema.Boolean,
  cacheLengths: Schema.Array(Num),
  lookupTable: Schema.Array(Num),
  maxSeqLength: Num,
  maxCacheLength: Num,
  steps: Schema.Array(Step),
})
type Params = typeof Params.Type

/** Numbers by the name of a field. */
type Fields = { readonly [name: string]: ArrayLike<number> }

const viewOf = (
  collection: Collection.ContinuousBatchingKvCacheCollection,
  { kind, layer }: { readonly kind: "key" | "value"; readonly layer: number },
) =>
  Effect.fromResult(
    (kind === "key" ? Collection.getKeyCache : Collection.getValueCache)(collection, layer),
  )

/** The buffer, whose elements are their own numbers. */
const made = (params: Params) =>
  Effect.gen(function* () {
    const { numBlocks, numLayers, maxSeqLen, numHeads, headSize, isMla, kvDim } = params
    const arenaBlocks = numBlocks * (2 + params.steps.length)
    const kvParams = { numHeads, headSize, isMla }
    const layout = yield* Effect.fromResult(
      Collection.layout({ kvParams, numBlocks, numLayers, maxSeqLen, arenaBlocks }),
    )
    const arena = yield* Arena.make(layout, arenaBlocks)
    const sizes = { numBlocks, kvDim, numLayers, maxSeqLen, numHeads, headSize }
    const count = Object.values(sizes).reduce((product, n) => product * n, 1)
    const blocks = yield* Gpu.upload(
      "f32",
      "numBlocks kvDim numLayers maxSeqLen numHeads headSize",
      sizes,
      Float32Array.from({ length: count }, (_, i) => i),
    )
    const collection = yield* Program.run(Collection.fromTensor(arena, blocks, params))
    return { arena, collection }
  })

type Made = Collection.ContinuousBatchingKvCacheCollection

const info = (collection: Made) =>
  Effect.map(viewOf(collection, { kind: "key", layer: 0 }), (view): Fields => ({
    cache_lengths: view.cacheLengths,
    empty_cache: [View.emptyCache(view) ? 1 : 0],
    max_prompt_length: [View.maxPromptLength(view)],
    max_context_length: [View.maxContextLength(view)],
    view_shape: view.blocksShape,
    view_strides: view.blocksStride,
  }))

/** One step: what it gives, and the collection afterwards. */
const take = (collection: Made, step: typeof Step.Type) =>
  Effect.gen(function* () {
    switch (step.do) {
      case "info":
        return { collection, fields: yield* info(collection) }
      case "load": {
        const view = yield* viewOf(collection, step)
        const values = yield* Gpu.read(yield* Program.run(View.load(view, step.width, step)))
        return { collection, fields: { values } }
      }
      case "store": {
        const view = yield* viewOf(collection, step)
        const next = yield* Program.run(View.store(view, step, step.values))
        return { collection: next.collection, fields: {} }
      }
      case "read_sequence": {
        const view = yield* viewOf(collection, step)
        const values = yield* Gpu.read(yield* Program.run(View.sequence(view, step.bs)))
        return { collection, fields: { values } }
      }
      case "block_paged_ptr": {
        const view = yield* viewOf(collection, step)
        const place = { bs: step.bs, tok: step.startTok, head: step.head, dim: step.dim }
        const plan = yield* Program.run(View.blockPagedPtr(view, 1, place))
        const { viewOffset, poolOffset } = plan
        return { collection, fields: { viewOffset: [viewOffset], poolOffset: [poolOffset] } }
      }
      case "row_col": {
        const view = yield* viewOf(collection, { kind: "key", layer: 0 })
        const row = yield* Effect.fromResult(View.rowIdx(view, step.bs, step.tok))
        const col = yield* Effect.fromResult(View.colIdx(view, step.head))
        return { collection, fields: { row_idx: [row], col_idx: [col] } }
      }
    }
  })

/** Runs the steps; `at` is told which is under way. */
const play = (params: Params, at: (step: number, results: ReadonlyArray<Fields>) => void) =>
  Effect.scoped(Effect.gen(function* () {
    at(-1, [])
    const { arena, collection } = yield* made(params)
    return yield* Lease.scoped(arena)(Effect.gen(function* () {
      let now: Made = collection
      const results: Array<Fields> = []
      for (const [i, step] of params.steps.entries()) {
        at(i, results)
        const taken = yield* take(now, step)
        now = taken.collection
        results.push(taken.fields)
      }
      return results
    }))
  }))

const compare = (one: KvCase, results: ReadonlyArray<Fields>): Distance =>
  all(
    ...Object.keys(one.expected).filter((name) => name.startsWith("s")).map((name) => {
      const [step = "", field = ""] = name.split(".")
      const got = results[Number(step.slice(1))]?.[field] ?? []
      return numbers(name, got, tensor(one.expected, name).data, one.tolerance)
    }),
  )

const checkOne = (one: KvCase): Effect.Effect<Checked, Schema.SchemaError, Gpu> =>
  Effect.gen(function* () {
    const params = yield* Schema.decodeUnknownEffect(Params)(one.params)
    let reached = -1
    let given: ReadonlyArray<Fields> = []
    const played = play(params, (step, results) => [reached, given] = [step, results])
    if (one.refusals.length === 0) {
      return yield* check(one.name, Effect.map(played, (results) => compare(one, results)))
    }
    const said = yield* refused(one.name, one.refusals, played)
    if (said._tag === "Skipped") return said
    const step = one.refusedStep ?? params.steps.length - 1
    const where = reached === step ? [] : [`step ${reached} was refused, not ${step}`]
    return { ...said, differs: [...said.differs, ...where, ...compare(one, given).differs] }
  })

/** Checks every case of a file. */
export const continuousBatchingProgram = (
  cases: ReadonlyArray<KvCase>,
): Effect.Effect<ReadonlyArray<Checked>, Schema.SchemaError, Gpu> => Effect.forEach(cases, checkOne)
