/** What hostile tables are answered with: what is there, beside a naive pool. @module */
import { Effect, Result, type Scope } from "effect"
import assert from "node:assert/strict"
import {
  ContinuousBatchingKvCacheCollection as Collection,
  Gpu,
  Interchange,
  KvCache,
  type Lease,
  PageAttention,
  PagedKvCache,
  Pages,
  PageUtilities,
  Program,
  Recording,
  type Tensor,
} from "../../mod.ts"
import * as Pool from "./pool.ts"
import { show } from "./spoil.ts"
import { after, type Case, page, pages, promised, type readers, whole } from "./tables.ts"

const query = (): Tensor<"f32", "numSeqs numHeads headDim"> =>
  Recording.fresh("f32", "numSeqs numHeads headDim", [1, 1, 2], new Float32Array(2))

/** The number that a row of weights, all equal, leaves of these. */
const mean = (rows: ReadonlyArray<number>): number =>
  rows.reduce((sum, n) => sum + n, 0) / Math.max(1, rows.length)

/** How each reader is asked, and what is read. */
const read = (
  { pages }: Pool.Pool,
  { door, blocks, length }: Case & { readonly door: typeof readers[number] },
): Effect.Effect<ReadonlyArray<number> | number, unknown, Gpu | Lease | Scope.Scope> => {
  const rows = ({ keys }: { readonly keys: Tensor<"f32", string> }) =>
    Effect.map(Gpu.read(keys), Pool.numbersOf)
  const one = ({ out }: { readonly out: Tensor<"f32", string> }) =>
    Effect.map(Gpu.read(out), ([n]) => n!)
  const run = <A>(body: Effect.Effect<A, unknown, Pool.Needs>) => Program.run(body)
  switch (door) {
    case "gather":
      return Effect.flatMap(run(Pages.gather(pages, blocks, length)), rows)
    case "toCache":
      return Effect.flatMap(
        run(
          Effect.flatMap(
            Interchange.toCache({ pages, blocks, length }),
            ({ value }) => KvCache.gather(value),
          ),
        ),
        rows,
      )
    case "attendPages":
      return Effect.flatMap(
        run(
          PageAttention.pageAttention({
            query: query(),
            contextLens: [length],
            blockTables: [blocks],
            pages,
          }),
        ),
        one,
      )
    case "pageAttention": {
      const data = Float32Array.from(
        Pool.flat(Pool.full).flatMap((n) => [n, 1000 - n]),
      )
      const shape = [Pool.written.length, 1, Pool.slots, 2]
      const dense = () => Recording.fresh("f32", "pages heads slots dim", shape, data)
      return Effect.flatMap(
        run(Effect.suspend(() =>
          PageAttention.pageAttention({
            query: query(),
            contextLens: [length],
            blockTables: [blocks],
            keyPages: dense(),
            valuePages: dense(),
          })
        )),
        one,
      )
    }
    case "fromPages":
      return Effect.flatMap(
        run(Effect.flatMap(
          Effect.fromResult(
            PagedKvCache.fromPages(pages, { blockTable: [blocks], seqLengths: [length] }),
          ),
          (cache) => PagedKvCache.gatherKv(cache, 0),
        )),
        rows,
      )
    case "collection":
      return Effect.flatMap(
        run(Effect.flatMap(
          Effect.fromResult(
            Collection.of(pages, { lookupTable: blocks.slice(0, 1), cacheLengths: [length] }),
          ),
          (all) =>
            Effect.flatMap(
              Effect.fromResult(Collection.row(all, 0)),
              (row) =>
                Effect.flatMap(Interchange.toCache(row), ({ value }) => KvCache.gather(value)),
            ),
        )),
        rows,
      )
  }
}

/** Must it be answered, and not only may be? Views may have reasons of their own to refuse. */
const sure: ReadonlySet<string> = new Set(["gather", "attendPages", "pageAttention"])

const reading = (pool: Pool.Pool, one: Case & { readonly door: typeof readers[number] }) =>
  Effect.gen(function* () {
    const blocks = one.door === "collection" ? one.blocks.slice(0, 1) : one.blocks
    const held = one.door === "pageAttention" ? Pool.full : Pool.written
    const want = promised(blocks, one.length, held)
    const got = yield* Pool.tried(pool, read(pool, one))
    if (Result.isFailure(got)) {
      assert.ok(
        want === undefined || !sure.has(one.door),
        `refused, and all is there: ${got.failure}`,
      )
      return
    }
    assert.ok(want !== undefined, `answered ${got.success}, and it is not all there`)
    const numbers = got.success
    if (typeof numbers !== "number") return assert.deepEqual(numbers, want)
    assert.ok(Math.abs(numbers - mean(want)) < 1e-3, `attends to ${numbers}, not ${mean(want)}`)
  })

/** A pool that was written to, or was not. */
const wrote = (
  pool: Pool.Pool,
  next: Result.Result<Pages.Pages, { readonly message: string }>,
  want: Pool.Naive | undefined,
) =>
  Effect.gen(function* () {
    if (Result.isFailure(next)) {
      assert.ok(want === undefined, `refused, and could be written: ${next.failure.message}`)
      return
    }
    assert.ok(want !== undefined, "written, and cannot be")
    const got = yield* Pool.tried(pool, Pool.all(next.success))
    assert.deepEqual(Result.getOrThrow(got), Pool.flat(want))
  })

/** The rows of a step as runs, or undefined where its tables are not such. */
const mapped = (
  { tables, cached, queries }: Case & { readonly door: "kvCacheUpdate" },
): ReadonlyArray<Pages.Run> | undefined => {
  if (cached.length !== tables.length || queries.length !== tables.length) return undefined
  if (![...cached, ...queries].every(whole)) return undefined
  const runs: Array<Pages.Run> = []
  let from = 0
  for (const [row, table] of tables.entries()) {
    for (let i = 0; i < queries[row]!; i++, from++) {
      const at = cached[row]! + i
      const block = table[Math.floor(at / Pool.slots)] ?? -1
      if (!page(block)) return undefined
      runs.push({ page: block, offset: at % Pool.slots, from, count: 1 })
    }
  }
  return runs
}

const updating = (pool: Pool.Pool, one: Case & { readonly door: "kvCacheUpdate" }) =>
  Effect.gen(function* () {
    const { tables, cached, queries } = one
    const slices = PageUtilities.slotMappingToSlices({
      blockTables: tables,
      cachedLengths: cached,
      queryLengths: queries,
      numPages: pages,
      pageSize: Pool.slots,
      slicesPerProcessingPage: 2,
    })
    const want = mapped(one)
    if (Result.isFailure(slices)) {
      assert.ok(want === undefined, `refused, and all pages are there: ${slices.failure.message}`)
      return
    }
    assert.ok(want !== undefined, "mapped to pages that are not there")
    const { combined } = pool.rows as KvCache.Combined
    const newKv = {
      ...combined,
      axes: "tokens combinedHeads headDim" as const,
      shape: combined.shape.slice(1),
    }
    const { sliceIndices, totalUpdateSlices } = slices.success
    const next = PageUtilities.kvCacheUpdate(newKv, sliceIndices, pool.pages, totalUpdateSlices, {
      pageSize: Pool.slots,
    })
    yield* wrote(pool, next, after(want))
  })

const allocating = (
  pool: Pool.Pool,
  { blocks, tokens }: Case & { readonly door: "allocateBlocks" },
) =>
  Effect.gen(function* () {
    const sequences = { blockTable: [[0, 1, -1, -1], [-1, -1, -1, -1]], seqLengths: [5, 0] }
    const cache = Result.getOrThrow(PagedKvCache.fromPages(pool.pages, sequences))
    const made = PagedKvCache.allocateBlocks(cache, {
      sequence: 1,
      numTokens: tokens,
      freeBlockIds: blocks,
    })
    const used = blocks.slice(0, Math.ceil(tokens / Pool.slots))
    const possible = whole(tokens) && tokens <= 4 * Pool.slots &&
      blocks.length * Pool.slots >= tokens &&
      new Set(used).size === used.length && used.every((block) => page(block) && block > 1)
    assert.equal(
      Result.isSuccess(made),
      possible,
      Result.isFailure(made) ? made.failure.message : "blocks that are none",
    )
    if (Result.isFailure(made)) return
    const { cache: next } = made.success
    const n = Math.min(tokens, Pool.fresh.length)
    const row = (x: Tensor<"f32", string>) => ({
      ...x,
      axes: "tokens numKvHeads headDim" as const,
      shape: [n, 1, 2],
    })
    const { keys, values } = pool.rows as KvCache.Rows
    const appended = Result.getOrThrow(
      PagedKvCache.appendKv(
        next,
        1,
        row(keys as Tensor<"f32", string>),
        row(values as Tensor<"f32", string>),
      ),
    )
    for (
      const [sequence, want] of [[0, [100, 101, 102, 200, 201]], [
        1,
        Pool.fresh.slice(0, n),
      ]] as const
    ) {
      const got = yield* Pool.tried(
        pool,
        Effect.flatMap(Program.run(PagedKvCache.gatherKv(appended, sequence)), (kv) =>
          Gpu.read(kv.keys)),
      )
      assert.deepEqual(Pool.numbersOf(Result.getOrThrow(got)), want)
    }
  })

const body = (pool: Pool.Pool, one: Case): Effect.Effect<void, unknown, Gpu> => {
  switch (one.door) {
    case "Pages.write":
      return wrote(pool, Pages.write(pool.pages, pool.rows, one.runs), after(one.runs))
    case "kvCacheUpdate":
      return updating(pool, one)
    case "allocateBlocks":
      return allocating(pool, one)
    default:
      return reading(pool, one)
  }
}

const device = Gpu.layerCpu({ poison: true })

/** Tries a case on a pool of its own; whatever comes of it, the pool and its neighbour read as before. */
export const attempt = async (one: Case): Promise<number> => {
  const placement = one.door === "collection"
    ? "fused"
    : one.door === "kvCacheUpdate"
    ? "interleaved"
    : "perLayer"
  const work = Effect.gen(function* () {
    const pool = yield* Pool.make(placement)
    yield* body(pool, one)
    const old = yield* Pool.tried(pool, Pool.all(pool.pages))
    assert.deepEqual(
      Result.getOrThrow(old),
      Pool.flat(Pool.written),
      "the older pool reads as before",
    )
    const other = yield* Pool.tried(
      pool,
      Effect.flatMap(Program.run(KvCache.gather(pool.other)), ({ keys }) => Gpu.read(keys)),
    )
    assert.deepEqual(
      Pool.numbersOf(Result.getOrThrow(other)),
      [901, 902, 903, 904],
      "another sequence reads as before",
    )
  })
  try {
    await Effect.runPromise(Effect.provide(Effect.scoped(work), device))
  } catch (error) {
    throw new Error(`${show(one)}: ${(error as Error).message}`, { cause: error })
  }
  return Object.values(one).flat(2).length - 1
}
