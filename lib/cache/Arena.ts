/**
 * Device memory for caches: the pools, their ledgers, and who holds blocks of them. The one file of the cache
 * that meets the device.
 *
 * @module
 */
import { Effect, Result, type Scope } from "effect"
import * as Gpu from "../device/Gpu.ts"
import { ArenaTooLarge, type GpuFault, InvalidArgument } from "../errors.ts"
import * as DTypes from "../tensor/DType.ts"
import { largest } from "../tensor/numbers.ts"
import type { Tensor } from "../tensor/value.ts"
import * as Layout from "./Layout.ts"
import * as Ledger from "./Ledger.ts"
import type { Owner } from "./Owner.ts"

/** Pools of blocks and the book of each layer group. */
export interface Arena {
  readonly layout: Layout.Layout
  /** One book a layer group. */
  readonly ledgers: ReadonlyArray<Ledger.Ledger>
  /** Buffers as the layout's placement divides them; block `numBlocks` of each is the dummy. */
  readonly pools: ReadonlyArray<Tensor<Layout.Storage, "pool">>
  /** Which kernels suit the device that its pools lie on. */
  readonly tier: Gpu.GpuShape["tier"]
  /** Open leases and effects in flight. Internal. */
  readonly owners: Set<Owner>
}

/** Blocks of an arena, by layer group. */
export interface Usage {
  readonly numBlocks: number
  readonly free: number
  /** Blocks with more than one owner or more than one table: see `Lease`. */
  readonly shared: number
  readonly blockBytes: number
}

/** What an arena of some size would hold. */
export interface ArenaPlan {
  /** Usable blocks of every layer group. */
  readonly numBlocks: number
  /** Tokens one cache could hold. */
  readonly tokens: number
  /** Bytes of all pools, the dummy block included. */
  readonly bytes: number
  /** Bytes of the largest pool: what the device must give to one buffer. */
  readonly largestBuffer: number
}

const bytesOf = (layout: Layout.Layout, numBlocks: ReadonlyArray<number>): ReadonlyArray<number> =>
  Layout.poolElements(layout, numBlocks).map((n) => DTypes.bufferBytes(layout.dtype, n))

/** Tells, before anything is allocated, how many blocks and tokens fit into `bytes`. Pure. */
export const plan = (
  layout: Layout.Layout,
  bytes: number,
): Result.Result<ArenaPlan, InvalidArgument> => {
  if (bytes > Number.MAX_SAFE_INTEGER) {
    const need = `at most ${Number.MAX_SAFE_INTEGER}`
    return Result.fail(new InvalidArgument({ name: "bytes", value: bytes, need }))
  }
  const oneOfEach = layout.groups.reduce((sum, _, g) => sum + Layout.blockBytes(layout, g), 0)
  const numBlocks = Math.floor(bytes / oneOfEach) - 1 // one more is the dummy
  if (!(numBlocks >= 1)) {
    const need = `at least ${2 * oneOfEach}: one block of each layer group and its dummy`
    return Result.fail(new InvalidArgument({ name: "bytes", value: bytes, need }))
  }
  const pools = bytesOf(layout, layout.groups.map(() => numBlocks))
  return Result.succeed({
    numBlocks,
    tokens: Math.min(layout.capacity, numBlocks * layout.blockSize),
    bytes: pools.reduce((sum, n) => sum + n, 0),
    largestBuffer: largest(pools, 0),
  })
}

/**
 * Allocates the pools of `numBlocks` usable blocks (one number for every layer group, or one each). The
 * memory belongs to the scope. Fails before allocating when a pool exceeds what the device gives to one
 * buffer.
 */
export const make = (
  layout: Layout.Layout,
  numBlocks: number | ReadonlyArray<number>,
): Effect.Effect<
  Arena,
  ArenaTooLarge | InvalidArgument | GpuFault,
  Gpu.Gpu | Scope.Scope
> =>
  Effect.gen(function* () {
    const gpu = yield* Gpu.Service
    const counts = typeof numBlocks === "number" ? layout.groups.map(() => numBlocks) : numBlocks
    if (counts.length !== layout.groups.length) {
      const need = `${layout.groups.length} numbers, one for each layer group`
      return yield* new InvalidArgument({ name: "numBlocks", value: counts.join(" "), need })
    }
    for (const value of counts) {
      if (Number.isSafeInteger(value) && value >= 1) continue
      return yield* new InvalidArgument({
        name: "numBlocks",
        value,
        need: "a whole number above 0",
      })
    }
    const sizes = bytesOf(layout, counts)
    const limit = gpu.limits.maxBufferBytes
    for (const [pool, bytes] of sizes.entries()) {
      if (bytes > limit) return yield* new ArenaTooLarge({ what: `pool ${pool}`, bytes, limit })
    }
    const offsets = Layout.offsetsError(layout, counts)
    if (offsets !== undefined) return yield* offsets
    const elements = Layout.poolElements(layout, counts)
    const pools: Array<Tensor<Layout.Storage, "pool">> = []
    for (const [pool, bytes] of sizes.entries()) {
      const slot = {
        bytes,
        data: undefined,
        buffer: yield* Gpu.allocate(bytes),
        stale: undefined as string | undefined,
      }
      yield* Effect.addFinalizer(() => Effect.sync(() => slot.stale = "its arena is closed"))
      pools.push({ dtype: layout.dtype, axes: "pool", shape: [elements[pool]!], slot })
    }
    const ledgers = counts.map(Ledger.make)
    return { layout, ledgers, pools, tier: gpu.tier, owners: new Set<Owner>() }
  })

/** Blocks in use and free now, by layer group. O(blocks). */
export const usage = (arena: Arena): ReadonlyArray<Usage> =>
  arena.ledgers.map(({ numBlocks, numFree, references }, group) => ({
    numBlocks,
    free: numFree,
    shared: references.reduce((sum, n) => sum + (n > 1 ? 1 : 0), 0),
    blockBytes: Layout.blockBytes(arena.layout, group),
  }))
