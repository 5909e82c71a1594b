/** Recorded attention over pages: in dense tensors of both orders, and in pages of an arena. @module */
import { Effect, Result, Schema } from "effect"
import { Arena, Gpu, Layout, Lease, PageAttention, Pages, Program, Tensor } from "../../mod.ts"
import { all, check, type Checked, numbers, refused } from "./checked.ts"
import { type KvCase, type Tensor as Recorded, tensor } from "./kv.ts"
import { uploaded, widened } from "./stored.ts"

const nullable = <S extends Schema.Top>(schema: S) => Schema.NullOr(schema)
const Params = Schema.Struct({
  attnScale: nullable(Schema.Number),
  maxContextLen: nullable(Schema.Number),
  numSplits: Schema.Number,
  maskValue: nullable(Schema.Number),
  softCap: nullable(Schema.Number),
  slidingWindow: nullable(Schema.Number),
})

type PageTensor = PageAttention.PageTensor

const axes = "pages heads slots dim"

/** The case's tensors on the device, and its options. */
const inputsOf = (one: KvCase, params: typeof Params.Type) =>
  Effect.gen(function* () {
    const { maskValue } = params
    const query = tensor(one.inputs, "query")
    const options: PageAttention.Options = {
      query: yield* widened("numSeqs numHeads headDim", query),
      contextLens: tensor(one.inputs, "context_lens").data,
      blockTables: rowsOf(tensor(one.inputs, "block_tables")),
      attnScale: params.attnScale ?? undefined,
      maxContextLen: params.maxContextLen ?? undefined,
      numSplits: params.numSplits,
      maskValue: maskValue ?? undefined,
      attnLogitsSoftCap: params.softCap ?? undefined,
      slidingWindow: params.slidingWindow ?? undefined,
    }
    // The case says what is stored how, right or wrong.
    const pagesOf = (name: string) =>
      Effect.map(uploaded(axes, tensor(one.inputs, name)), (pages) => pages as PageTensor)
    return {
      options,
      keyPages: yield* pagesOf("key_pages"),
      valuePages: yield* pagesOf("value_pages"),
    }
  })

const rowsOf = ({ shape: [rows = 0, width = 0], data }: Recorded) =>
  Array.from({ length: rows }, (_, i) => data.slice(i * width, (i + 1) * width))

type Inputs = Effect.Success<ReturnType<typeof inputsOf>>

const inPlace = ({ options, ...tensors }: Inputs) =>
  Effect.scoped(Effect.gen(function* () {
    const { out } = yield* Program.run(PageAttention.pageAttention({ ...options, ...tensors }))
    return yield* Gpu.read(out)
  }))

const otherOrder = ({ options, ...tensors }: Inputs) =>
  Effect.scoped(Effect.gen(function* () {
    const { out } = yield* Program.run(Effect.gen(function* () {
      const turned = (x: typeof tensors.keyPages) =>
        Effect.flatMap(
          Tensor.cast(x, "f32"),
          (wide) => Tensor.permute(wide, "heads pages slots dim"),
        )
      const keyPages = yield* turned(tensors.keyPages)
      const valuePages = yield* turned(tensors.valuePages)
      return yield* PageAttention.pageAttention({ ...options, keyPages, valuePages })
    }))
    return yield* Gpu.read(out)
  }))

/** Every page is written to an arena; what the case poisoned would be of no row, and stays in the pages. */
const pooled = ({ options, keyPages, valuePages }: Inputs) =>
  Effect.scoped(Effect.gen(function* () {
    const [pages = 0, heads = 0, slots = 0, dim = 0] = keyPages.shape
    const layout = yield* Effect.fromResult(
      Layout.make({
        layers: 1,
        keyHeads: heads,
        keyDim: dim,
        blockSize: slots,
        dtype: keyPages.dtype,
      }),
    )
    const arena = yield* Arena.make(layout, pages)
    const attended = Effect.gen(function* () {
      const rows = <const A extends string>(x: typeof keyPages, axes: A) =>
        Effect.gen(function* () {
          const wide = yield* Tensor.cast(x, "f32")
          const turned = yield* Tensor.permute(wide, "pages slots heads dim")
          const stored = yield* Tensor.cast(turned, keyPages.dtype)
          return { ...stored, axes, shape: [1, pages * slots, heads, dim] }
        })
      const keys = yield* rows(keyPages, "layers tokens keyHeads keyDim")
      const values = yield* rows(valuePages, "layers tokens valueHeads valueDim")
      const runs = Array.from({ length: pages }, (_, page) => ({
        page,
        offset: 0,
        from: page * slots,
        count: slots,
      }))
      const pool = yield* Effect.fromResult(
        Result.flatMap(
          Pages.make(arena, pages),
          (pool) => Pages.write(pool, { keys, values }, runs),
        ),
      )
      return yield* PageAttention.pageAttention({ ...options, pages: pool })
    })
    return yield* Lease.scoped(arena)(
      Effect.flatMap(Program.run(attended), ({ out }) => Gpu.read(out)),
    )
  }))

const checkOne = (one: KvCase): Effect.Effect<Checked, Schema.SchemaError, Gpu> =>
  Effect.gen(function* () {
    const params = yield* Schema.decodeUnknownEffect(Params)(one.params)
    if (one.refusals.length > 0) {
      return yield* refused(
        one.name,
        one.refusals,
        Effect.scoped(Effect.flatMap(inputsOf(one, params), inPlace)),
      )
    }
    const ways = { "in place": inPlace, "other order": otherOrder, "in an arena": pooled }
    const compared = Effect.scoped(Effect.gen(function* () {
      const inputs = yield* inputsOf(one, params)
      const distances = []
      for (const [name, way] of Object.entries(ways)) {
        const out = yield* way(inputs)
        const want = tensor(one.expected, "out").data
        distances.push(numbers(`out ${name}`, out, want, one.tolerance))
      }
      return all(...distances)
    }))
    return yield* check(one.name, compared)
  })

/** Checks every case of a file. */
export const pageAttentionCases = (
  cases: ReadonlyArray<KvCase>,
): Effect.Effect<ReadonlyArray<Checked>, Schema.SchemaError, Gpu> => Effect.forEach(cases, checkOne)
