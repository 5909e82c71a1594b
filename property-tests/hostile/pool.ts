/**
 * Pages with known rows, beside a naive pool: every slot of every page holds a number of its own, memory that nobody
 * may see holds poison, and another sequence lives in the same arena. So whatever is read tells where it is from.
 *
 * @module
 */
import { Cause, Effect, Exit, Result, type Scope } from "effect"
import assert from "node:assert/strict"
import {
  Arena,
  Gpu,
  type GpuFault,
  KvCache,
  Layout,
  Lease,
  Pages,
  Program,
  type Recording,
  type ShapeMismatch,
  type Tensor,
} from "../../mod.ts"
import { memoryOf, placesOf, poisonUnseen } from "../../testing/world/storage.ts"
import { tally } from "../../testing/mod.ts"
import { conserved, picture } from "../../testing/world/world.ts"
import type { Owner } from "./door.ts"

/** Tokens of a page. */
export const slots = 3

/** Rows by page; what is not written is not there. */
export type Naive = ReadonlyArray<ReadonlyArray<number>>

/** Some pages are full, some are begun, one is empty. */
export const written: Naive = [3, 3, 2, 1, 0, 3].map((length, page) =>
  Array.from({ length }, (_, slot) => 100 * (page + 1) + slot)
)

/** Pages of dense tensors, which have numbers in every slot. */
export const full: Naive = written.map((_, page) =>
  Array.from({ length: slots }, (_, slot) => 100 * (page + 1) + slot)
)

/** Rows to be written, and their numbers. */
export const fresh: ReadonlyArray<number> = [11, 12, 13, 14, 15, 16, 17]

/** Rows of one head of two elements: the number, and what is left to it from 1000. */
export const rowsOf = <const A extends string>(
  axes: A,
  numbers: ReadonlyArray<number>,
  shape: ReadonlyArray<number>,
): Effect.Effect<Tensor<"f32", A>, ShapeMismatch | GpuFault, Gpu | Scope.Scope> => {
  const data = Float32Array.from(numbers.flatMap((n) => [n, 1000 - n]))
  return Effect.map(
    Gpu.upload("f32", "n", { n: data.length }, data),
    (flat) => ({ ...flat, axes, shape }),
  )
}

/** The numbers of rows that were read; a row whose elements do not belong together is nobody's. */
export const numbersOf = (data: Float32Array): ReadonlyArray<number> =>
  Array.from({ length: data.length / 2 }, (_, i) => {
    const [n, rest] = [data[2 * i]!, data[2 * i + 1]!]
    return n === 0 && rest === 0 || n + rest === 1000 ? n : NaN
  })

/** A pool, and what holds it. */
export interface Pool {
  readonly arena: Arena
  readonly lease: Owner
  readonly pages: Pages.Pages
  /** `fresh`, in the form that the arena takes. */
  readonly rows: KvCache.AnyRows
  /** Somebody else's tokens. */
  readonly other: KvCache
}

const given = (
  placement: Layout.Placement,
  numbers: ReadonlyArray<number>,
): Effect.Effect<KvCache.AnyRows, ShapeMismatch | GpuFault, Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    const n = numbers.length
    if (placement === "interleaved") {
      const both = numbers.flatMap((one) => [one, one])
      return { combined: yield* rowsOf("layers tokens combinedHeads dim", both, [1, n, 2, 2]) }
    }
    return {
      keys: yield* rowsOf("layers tokens keyHeads keyDim", numbers, [1, n, 1, 2]),
      values: yield* rowsOf("layers tokens valueHeads valueDim", numbers, [1, n, 1, 2]),
    }
  })

/** A pool on this device. */
export const make = (
  placement: Layout.Placement,
): Effect.Effect<Pool, unknown, Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    const layout = yield* Effect.fromResult(
      Layout.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: slots, placement }),
    )
    const arena = yield* Arena.make(layout, 24)
    const lease = yield* Lease.make(arena)
    const old = yield* given(placement, written.flat())
    let from = 0
    const runs = written.map((rows, page): Pages.Run => {
      from += rows.length
      return { page, offset: 0, from: from - rows.length, count: rows.length }
    })
    const empty = yield* Effect.fromResult(Pages.make(arena, written.length))
    const pages = yield* Effect.fromResult(Pages.write(empty, old, runs))
    const others = yield* given(placement, [901, 902, 903, 904])
    const other = yield* Effect.fromResult(KvCache.append(KvCache.empty(arena), others))
    yield* Effect.scoped(
      Lease.under(lease)(Program.run(KvCache.realize([other, ...Pages.caches(pages)]))),
    )
    poisonUnseen(arena, placesOf(arena.layout), memoryOf(arena), "nan")
    return { arena, lease, pages, rows: yield* given(placement, fresh), other }
  })

/** What an effect on the pool may need. */
export type Needs = Gpu | Lease | Recording | Recording.Transaction | Scope.Scope

/** What came of a call: an answer, or a typed error and nothing changed. */
export const tried = <A>(
  { arena, lease }: Pool,
  call: Effect.Effect<A, unknown, Gpu | Lease | Scope.Scope>,
): Effect.Effect<Result.Result<A, string>, never, Gpu> =>
  Effect.gen(function* () {
    const before = picture({ arena })
    const exit = yield* Effect.exit(Effect.scoped(Lease.under(lease)(call)))
    conserved({ arena, tally: tally() })
    if (Exit.isSuccess(exit)) return Result.succeed(exit.value)
    const refusal = exit.cause.reasons.find(Cause.isFailReason)?.error as
      | { readonly _tag?: string; readonly message: string }
      | undefined
    assert.ok(refusal?._tag !== undefined, Cause.pretty(exit.cause))
    assert.deepEqual(picture({ arena }), before, "a refused call leaves the books as they were")
    return Result.fail(refusal.message)
  })

/** The numbers of a whole pool, zeros where nobody wrote. */
export const all = (
  pages: Pages.Pages,
): Effect.Effect<ReadonlyArray<number>, unknown, Gpu | Lease> =>
  Effect.scoped(Effect.flatMap(
    Program.run(Pages.gatherAll(pages)),
    ({ keys, values }) =>
      Effect.map(Effect.all([Gpu.read(keys), Gpu.read(values)]), ([k, v]) => {
        assert.deepEqual(k, v, "keys are written as values are")
        return numbersOf(k)
      }),
  ))

/** A naive pool as one list. */
export const flat = (pool: Naive): ReadonlyArray<number> =>
  pool.flatMap((rows) => Array.from({ length: slots }, (_, i) => rows[i] ?? 0))
