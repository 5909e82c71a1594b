/** Recorded updates of dense pools by slices: on the device, and by the reference. @module */
import { Effect, Result, Schema } from "effect"
import {
  Arena,
  Gpu,
  InvalidArgument,
  Layout,
  Lease,
  PageUtilities,
  Program,
  ShapeMismatch,
} from "../../mod.ts"
import { all, check, type Checked, numbers, refused, skipped } from "./checked.ts"
import { type KvCase, type Tensor, tensor } from "./kv.ts"
import { storageOf, uploaded } from "./stored.ts"

const Params = Schema.Struct({ pageSize: Schema.Number, numPages: Schema.Number })
type Params = typeof Params.Type

/** The three rows of slices, and how many columns count. */
const slicesOf = (
  one: KvCase,
): Result.Result<PageUtilities.Slices, ShapeMismatch> => {
  const { shape: [rows = 0, columns = 0], data } = tensor(one.inputs, "slice_indices")
  if (rows !== 3) {
    const sizes = { expected: 3, actual: rows }
    return Result.fail(new ShapeMismatch({ tensor: "slice_indices", axis: "rows", ...sizes }))
  }
  const row = (i: number) => data.slice(i * columns, (i + 1) * columns)
  const [totalUpdateSlices = 0] = tensor(one.inputs, "total_update_slices").data
  return Result.succeed({ sliceIndices: [row(0), row(1), row(2)], totalUpdateSlices })
}

/** A pool has the pages that the case says. */
const pagesError = (one: KvCase, { pageSize, numPages }: Params) => {
  const [value = 0] = tensor(one.inputs, "kv_cache").shape
  const name = "positions of kv_cache"
  return value === pageSize * numPages
    ? undefined
    : new InvalidArgument({ name, value, need: `${pageSize * numPages}` })
}

const onDevice = (one: KvCase, params: Params, dtype: Layout.Storage) =>
  Effect.scoped(Effect.gen(function* () {
    const { pageSize, numPages } = params
    const bad = pagesError(one, params)
    if (bad !== undefined) return yield* bad
    const pool = tensor(one.inputs, "kv_cache")
    const [, combinedHeads = 0, keyDim = 0] = pool.shape
    const layout = yield* Effect.fromResult(
      Layout.make({
        layers: 1,
        keyHeads: combinedHeads / 2,
        keyDim,
        blockSize: pageSize,
        dtype,
        placement: "interleaved",
      }),
    )
    const arena = yield* Arena.make(layout, 2 * numPages)
    const axes = "tokens combinedHeads headDim"
    const [made, given] = [
      yield* uploaded(axes, pool),
      yield* uploaded(axes, tensor(one.inputs, "new_kv")),
    ]
    const { sliceIndices, totalUpdateSlices } = yield* Effect.fromResult(slicesOf(one))
    return yield* Lease.scoped(arena)(Effect.gen(function* () {
      const before = yield* Effect.fromResult(
        PageUtilities.fromDense(arena, made as PageUtilities.CombinedRows),
      )
      // The case says what is stored how, right or wrong.
      const newKv = given as PageUtilities.CombinedRows
      const after = yield* Effect.fromResult(
        PageUtilities.kvCacheUpdate(newKv, sliceIndices, before, totalUpdateSlices, { pageSize }),
      )
      const read = (pages: typeof before) =>
        Effect.scoped(Effect.flatMap(Program.run(PageUtilities.toDense(pages)), Gpu.read))
      return { after: yield* read(after), before: yield* read(before) }
    }))
  }))

/** A tensor as the reference takes it, or may have to refuse it. */
const hostRows = ({ dtype, shape, data }: Tensor): PageUtilities.HostRows => ({
  dtype: (storageOf(dtype) ?? dtype) as NonNullable<PageUtilities.HostRows["dtype"]>,
  shape: shape as unknown as PageUtilities.HostRows["shape"],
  data,
})

const byReference = (one: KvCase, params: Params) =>
  Result.gen(function* () {
    const bad = pagesError(one, params)
    if (bad !== undefined) return yield* Result.fail(bad)
    const { sliceIndices, totalUpdateSlices } = yield* slicesOf(one)
    const newKv = hostRows(tensor(one.inputs, "new_kv"))
    const pool = hostRows(tensor(one.inputs, "kv_cache"))
    const options = { pageSize: params.pageSize }
    return yield* PageUtilities.kvCacheUpdateReference(
      newKv,
      sliceIndices,
      pool,
      totalUpdateSlices,
      options,
    )
  })

const checkOne = (one: KvCase): Effect.Effect<Checked, Schema.SchemaError, Gpu> =>
  Effect.gen(function* () {
    const params = yield* Schema.decodeUnknownEffect(Params)(one.params)
    const { dtype: named } = tensor(one.inputs, "kv_cache")
    const dtype = storageOf(named)
    if (dtype === undefined) return skipped(one.name, `no pools of ${named} yet`)
    const device = Effect.suspend(() => onDevice(one, params, dtype))
    const reference = Effect.suspend(() => Effect.fromResult(byReference(one, params)))
    if (one.refusals.length > 0) {
      const first = yield* refused(one.name, one.refusals, device)
      const second = yield* refused(`${one.name} by the reference`, one.refusals, reference)
      const fails = second._tag === "Compared" && second.differs.length > 0
      return fails ? second : first
    }
    const expected = () => tensor(one.expected, "kv_cache").data
    return yield* check(
      one.name,
      Effect.gen(function* () {
        const { before, after } = yield* device
        const { data } = yield* reference
        return all(
          numbers("kv_cache", after, expected(), one.tolerance),
          numbers("kv_cache by the reference", data, expected(), one.tolerance),
          numbers("the pages before", before, tensor(one.inputs, "kv_cache").data, one.tolerance),
        )
      }),
    )
  })

/** Checks every case of a file. */
export const kvCacheUpdate = (
  cases: ReadonlyArray<KvCase>,
): Effect.Effect<ReadonlyArray<Checked>, Schema.SchemaError, Gpu> => Effect.forEach(cases, checkOne)
