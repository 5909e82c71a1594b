/** Recorded slices of batches: pure. @module */
import { Effect, Schema } from "effect"
import { PageUtilities } from "../../mod.ts"
import { all, check, type Checked, type Distance, equal, none, refused } from "./checked.ts"
import { type KvCase, tensor } from "./kv.ts"

const Params = Schema.Struct({
  pageSize: Schema.Number,
  slicesPerGroup: Schema.Number,
  numPages: Schema.Number,
})

const slicesOf = (one: KvCase, params: typeof Params.Type) => {
  const { shape: [rows = 0, width = 0], data } = tensor(one.inputs, "block_tables")
  return PageUtilities.slotMappingToSlices({
    blockTables: Array.from({ length: rows }, (_, i) => data.slice(i * width, (i + 1) * width)),
    cachedLengths: tensor(one.inputs, "cached_lengths").data,
    queryLengths: tensor(one.inputs, "query_lengths").data,
    numPages: params.numPages,
    pageSize: params.pageSize,
    slicesPerProcessingPage: params.slicesPerGroup,
  })
}

/** Padding columns have length 0, however many there are. */
const compare = (one: KvCase, slices: PageUtilities.Slices): Distance => {
  const { sliceIndices, totalUpdateSlices: total } = slices
  const { shape: [, columns = 0], data } = tensor(one.expected, "slice_indices")
  const rows = sliceIndices.map((row, i) =>
    equal(
      `slice_indices[${i}]`,
      Array.from(row).slice(0, total),
      data.slice(i * columns, i * columns + total),
    )
  )
  const padding = Array.from(sliceIndices[2]).slice(total)
  return all(
    equal("total_update_slices", [total], tensor(one.expected, "total_update_slices").data),
    ...rows,
    padding.every((length) => length === 0)
      ? none
      : { ...none, differs: [`padding has the lengths ${padding.join(" ")}`] },
  )
}

const checkOne = (one: KvCase): Effect.Effect<Checked, Schema.SchemaError> =>
  Effect.gen(function* () {
    const params = yield* Schema.decodeUnknownEffect(Params)(one.params)
    const made = Effect.suspend(() => Effect.fromResult(slicesOf(one, params)))
    return yield* one.refusals.length > 0
      ? refused(one.name, one.refusals, made)
      : check(one.name, Effect.map(made, (slices) => compare(one, slices)))
  })

/** Checks every case of a file. */
export const slotMappingToSlices = (
  cases: ReadonlyArray<KvCase>,
): Effect.Effect<ReadonlyArray<Checked>, Schema.SchemaError> => Effect.forEach(cases, checkOne)
