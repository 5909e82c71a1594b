/** `PageUtilities`: the update is its reference on every device, with one dispatch. @module */
import { Effect } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { Gpu, Lease, Pages, PageUtilities, Program, Recording, Tensor } from "../../mod.ts"
import { bf16, bf16OfBits, bitsOf, f16, f16OfBits } from "../../kernels/half.ts"
import { everywhere } from "../device/everywhere.ts"
import { floats } from "../kernels/values.ts"
import { near } from "../../testing/world/readings.ts"
import { axes, dense, poolOf } from "./combined.ts"

/** A pool, and slices that may be written to it. */
const update = fc.record({
  pageSize: fc.constantFrom(1, 2, 3, 8),
  numPages: fc.integer({ min: 1, max: 6 }),
  numKvHeads: fc.integer({ min: 1, max: 3 }),
  headDim: fc.constantFrom(1, 2, 3, 64, 129),
  dtype: fc.constantFrom("f32", "f16", "bf16"),
  /** For each page, gaps and lengths by turns. */
  cuts: fc.array(fc.array(fc.nat(4), { maxLength: 5 }), { minLength: 6, maxLength: 6 }),
  padding: fc.array(fc.tuple(fc.integer(), fc.integer(), fc.integer()), { maxLength: 5 }),
  hint: fc.integer({ min: 1, max: 20 }),
  seed: fc.nat(1 << 20),
})
type Update = typeof update extends fc.Arbitrary<infer T> ? T : never

/** Valid columns: disjoint runs of each page, from anywhere in the tokens, in no order. */
const columnsOf = ({ pageSize, numPages, cuts, seed }: Update, tokens: number) => {
  const columns: Array<readonly [number, number, number]> = []
  for (let page = 0; page < numPages; page++) {
    let at = 0
    for (const [i, cut] of cuts[page]!.entries()) {
      const count = Math.min(cut, pageSize - at, tokens)
      const from = (seed + 5 * columns.length) % (tokens - count + 1)
      if (i % 2 === 1) columns.push([page * pageSize + at, from, count])
      at += count
    }
  }
  // Always the last slot of the pool, unless a run writes it.
  const last = numPages * pageSize - 1
  if (tokens > 0 && columns.every(([to, , count]) => to + count <= last)) columns.push([last, 0, 1])
  return columns.sort((a, b) => (a[0] * 31 + seed) % 7 - (b[0] * 31 + seed) % 7)
}

/** Numbers that the storage holds, and how it holds them. */
const stored = (dtype: Update["dtype"], data: Float32Array) => {
  if (dtype === "f32") return { data, bits: data }
  const [values, of] = dtype === "f16" ? [f16, f16OfBits] : [bf16, bf16OfBits]
  const bits = Uint16Array.from(bitsOf(data), of)
  return { data: Float32Array.from(bits, (b) => values[b]!), bits }
}

/** Updates a full pool on the device, and by the reference; the pool before is read last. */
const both = (given: Update) =>
  Effect.scoped(Effect.gen(function* () {
    const { pageSize, numPages, numKvHeads, headDim, dtype, hint, seed } = given
    const [tokens, positions, heads] = [seed % 9, numPages * pageSize, 2 * numKvHeads]
    const columns = columnsOf(given, tokens)
    const all = [...columns, ...given.padding]
    const sliceIndices = [0, 1, 2].map((row) =>
      all.map((column) => column[row]!)
    ) as unknown as PageUtilities.SliceIndices
    const arena = yield* poolOf(given)
    const before = stored(dtype, floats(seed, positions * heads * headDim))
    const fresh = stored(dtype, floats(seed + 1, tokens * heads * headDim))
    const upload = (tokens: number, data: typeof before.bits) =>
      Gpu.upload(dtype, axes, { tokens, combinedHeads: heads, headDim }, data)
    const pool = yield* upload(positions, before.bits)
    const newKv = yield* upload(tokens, fresh.bits)
    const options = { pageSize, slicesPerProcessingPage: hint }
    const want = yield* Effect.fromResult(PageUtilities.kvCacheUpdateReference(
      { dtype, shape: [tokens, heads, headDim], data: fresh.data },
      sliceIndices,
      { dtype, shape: [positions, heads, headDim], data: before.data },
      columns.length,
      options,
    ))
    return yield* Lease.scoped(arena)(Effect.gen(function* () {
      const pages = yield* Effect.fromResult(PageUtilities.fromDense(arena, pool))
      const next = yield* Effect.fromResult(
        PageUtilities.kvCacheUpdate(newKv, sliceIndices, pages, columns.length, options),
      )
      const got = yield* dense(next)
      return { got, want: want.data, after: yield* dense(pages), before: before.data }
    }))
  }))

everywhere(
  "kvCacheUpdate() is kvCacheUpdateReference() for any slices",
  (device) =>
    Effect.flatMap(Effect.context<Gpu>(), (gpu) =>
      Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(update, async (given) => {
            const { got, want, after, before } = await Effect.runPromise(
              Effect.provideContext(both(given), gpu),
            )
            near("the pages", got, want, 0)
            near("the pages before", after, before, 0)
          }),
          { numRuns: device === "cpu" ? 100 : 20 },
        )
      )),
)

everywhere(
  "kvCacheUpdate() takes one dispatch for any number of slices and any head dim",
  () =>
    Effect.scoped(Effect.gen(function* () {
      for (const [dtype, launches] of [["f32", 1], ["f16", 2], ["bf16", 2]] as const) {
        for (const [numPages, headDim, n] of [[2, 3, 1], [5, 64, 5], [70, 130, 64]] as const) {
          const sizes = { pageSize: 4, numPages, numKvHeads: 1, headDim, dtype }
          const arena = yield* poolOf(sizes)
          yield* Lease.scoped(arena)(Effect.gen(function* () {
            const rows = (tokens: number) =>
              Tensor.cast(
                Recording.fresh(
                  "f32",
                  axes,
                  [tokens, 2, headDim],
                  floats(tokens, tokens * 2 * headDim),
                ),
                dtype,
              )
            const given = yield* Program.run(
              Effect.all({ pool: rows(4 * numPages), newKv: rows(n) }),
            )
            const pages = yield* Effect.fromResult(PageUtilities.fromDense(arena, given.pool))
            yield* Program.run(Pages.realize(pages))
            const slices = [
              Array.from({ length: n }, (_, i) => 4 * (numPages - 1 - i) + i % 4),
              Array.from({ length: n }, (_, i) => i),
              new Array<number>(n).fill(1),
            ] as const
            const found = yield* Program.run(Effect.gen(function* () {
              const next = yield* Effect.fromResult(
                PageUtilities.kvCacheUpdate(given.newKv, slices, pages, n, { pageSize: 4 }),
              )
              yield* Pages.realize(next)
              return (yield* Recording.Service).work.length
            }))
            assert.equal(found, launches, `${dtype}, ${n} slices`)
          }))
        }
      }
    })),
)
