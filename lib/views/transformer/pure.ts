/** A cache as plain data and back: for files, for other processes. @module */
import { Effect, Result, type Scope } from "effect"
import type { Arena } from "../../cache/Arena.ts"
import { type Given, givenAs, type Storage } from "../../cache/Layout.ts"
import type { Lease } from "../../cache/Lease.ts"
import type { RealizeError } from "../../cache/Realize.ts"
import type { WriteError } from "../../cache/write.ts"
import { run, type RunError } from "../../device/Program.ts"
import type { Gpu } from "../../device/service.ts"
import { read, upload } from "../../device/transfer.ts"
import { BadCacheData, InvalidArgument } from "../../errors.ts"
import * as DType from "../../tensor/DType.ts"
import { create, type TransformerCacheMetaData } from "../TransformerCacheMetaData.ts"
import type { AttnMaskDetail } from "./AttnMaskDetail.ts"
import { castRows, gatherRows, rowsOver } from "./copy.ts"
import { arenaFor, init, type InitError } from "./init.ts"
import {
  checksumOf,
  decode,
  encode,
  format,
  type PureCache,
  type PureView,
  version,
} from "./pure_format.ts"
import * as Quantizer from "./Quantizer.ts"
import { cacheOf, type TransformerCache, type TransformerCacheView, view } from "./value.ts"

export { version }

/** A cache as JSON: what `toPure` answers and `fromPure` reads, and nobody else needs to look into. */
export type Pure = unknown

/** Nothing is left out: what is undefined is written as null. */
const nulls = <T extends object>(
  value: T,
): { readonly [K in keyof T]-?: Exclude<T[K], undefined> | null } =>
  Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, one ?? null]),
  ) as { readonly [K in keyof T]-?: Exclude<T[K], undefined> | null }

/** And back. */
const without = <T extends object>(value: T): { [K in keyof T]: Exclude<T[K], null> } =>
  Object.fromEntries(
    Object.entries(value).filter(([, one]) => one !== null),
  ) as { [K in keyof T]: Exclude<T[K], null> }

const metadataOf = (metadata: TransformerCacheMetaData): PureView["metadata"] => {
  const { numHeads, headDim, slidingWindow, ...rest } = metadata
  return { ...rest, ...nulls({ numHeads, headDim, slidingWindow }) }
}

const detailsOf = (detail: AttnMaskDetail | undefined): PureView["maskingDetails"] => {
  if (detail === undefined) return null
  const { maskType, size, offset, chunks, bricks } = detail
  return { maskType, ...nulls({ size, offset, chunks, bricks }) }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

/** What `toPure` may fail with. */
export type ToPureError = RealizeError | RunError

const pureView = (
  self: TransformerCacheView,
): Effect.Effect<PureView, ToPureError, Gpu | Lease | Scope.Scope> =>
  Effect.gen(function* () {
    const { arena, rows, layerIndex = null } = self
    const dense = yield* run(
      Effect.flatMap(
        gatherRows(arena, rows, "left out"),
        (found) => castRows(found, arena.layout),
      ),
    )
    return {
      key: bytesOf(yield* read(dense.keys)),
      value: bytesOf(yield* read(dense.values)),
      indexs: self.indexs,
      kept: rows.map(({ starts }) => starts[0]!),
      starts: self.starts,
      maximumSequenceLength: self.maximumSequenceLength,
      layerIndex,
      maskingDetails: detailsOf(self.maskingDetails),
      metadata: metadataOf(self.metadata),
    }
  })

/**
 * Everything of a cache as JSON: keys and values (exact, of live tokens only), lengths, starts, sizes, masks, layer
 * numbers, dtype, version and checksums. Runs by itself, one submit a layer. O(tokens × layers).
 */
export const toPure = (
  self: TransformerCache,
): Effect.Effect<Pure, ToPureError, Gpu | Lease> =>
  Effect.gen(function* () {
    const first = self.views.find((one) => one !== undefined)
    const views: Array<PureCache["views"][number]> = []
    for (const one of self.views) {
      const written = one && (yield* Effect.scoped(pureView(one)))
      views.push(written === undefined ? null : { view: written, checksum: checksumOf(written) })
    }
    return encode({
      format,
      version,
      dtype: first?.arena.layout.dtype ?? "bf16",
      quantizer: first?.quantizer.name ?? Quantizer.none.name,
      blockSize: first?.arena.layout.blockSize ?? 1,
      views,
    })
  })

/** Where a cache is restored to. */
export interface PureOptions {
  /** An arena that is there already. Default: a new one, laid out as the old, which the scope owns. */
  readonly arena?: Arena
  /** Blocks of a new arena, as in `initCache`. */
  readonly numBlocks?: number
}

/** What `fromPure` may fail with. */
export type FromPureError = BadCacheData | InitError | WriteError

const damaged = (what: string, reason: string) => new BadCacheData({ what, reason })

const optionsOf = (one: PureView, layer: number): Result.Result<
  { readonly metadata: TransformerCacheMetaData; readonly maskingDetails?: AttnMaskDetail },
  BadCacheData
> =>
  Result.mapError(
    Result.map(create(without(one.metadata)), (metadata) => ({
      metadata,
      ...(one.maskingDetails && { maskingDetails: without(one.maskingDetails) }),
    })),
    ({ message }) => damaged(`layer ${layer}`, `is damaged: ${message}`),
  )

/** Rows of a view with zeros where they hold nothing any more, as they are given to an arena. */
const padded = (bytes: Uint8Array, width: number, one: PureView): Uint8Array<ArrayBuffer> => {
  const tokens = one.indexs.reduce((sum, n) => sum + n, 0)
  const out = new Uint8Array(tokens * width)
  let [from, to] = [0, 0]
  for (const [i, length] of one.indexs.entries()) {
    const kept = one.kept[i]!
    const end = from + (length - kept) * width
    out.set(bytes.subarray(from, end), to + kept * width)
    from = end
    to += length * width
  }
  return out
}

const restored = (
  one: PureView,
  layer: number,
  arena: Arena,
  quantizer: Quantizer.Quantizer,
): Effect.Effect<TransformerCacheView, FromPureError, Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    const { metadata, maskingDetails } = yield* Effect.fromResult(optionsOf(one, layer))
    const { keyHeads, valueHeads, keyDim, valueDim, batchSize } = metadata
    const empty = yield* Effect.fromResult(init(arena, {
      metadata,
      quantizer,
      starts: one.starts,
      ...(one.layerIndex !== null && { layerIndex: one.layerIndex }),
      ...(maskingDetails && { maskingDetails }),
    }))
    const dtype: Given = givenAs(arena.layout)
    const live = one.indexs.reduce((sum, n, i) => sum + n - (one.kept[i] ?? 0), 0)
    const [keyBytes, valueBytes] = [
      DType.bytes(dtype, keyHeads * keyDim),
      DType.bytes(dtype, valueHeads * valueDim),
    ]
    const fits = one.indexs.length === batchSize && one.kept.length === batchSize &&
      one.indexs.every((n, i) => one.kept[i]! <= n && n <= one.maximumSequenceLength) &&
      one.key.length === live * keyBytes && one.value.length === live * valueBytes
    if (!fits) return yield* damaged(`layer ${layer}`, "is damaged: its sizes disagree")
    const tokens = one.indexs.reduce((sum, n) => sum + n, 0)
    const array = (bytes: Uint8Array, width: number, count: number) =>
      DType.view(dtype, padded(bytes, width, one).buffer, count)
    const keys = yield* upload(
      dtype,
      "layers tokens keyHeads keyDim",
      { layers: 1, tokens, keyHeads, keyDim },
      array(one.key, keyBytes, tokens * keyHeads * keyDim),
    )
    const values = yield* upload(
      dtype,
      "layers tokens valueHeads valueDim",
      { layers: 1, tokens, valueHeads, valueDim },
      array(one.value, valueBytes, tokens * valueHeads * valueDim),
    )
    const spans = one.indexs.map((length, i) => ({ from: one.kept[i]!, length }))
    const rows = yield* Effect.fromResult(rowsOver(arena, { keys, values }, spans))
    const { maximumSequenceLength } = one
    return view({ ...empty, rows, maximumSequenceLength })
  }).pipe(
    // The same data was accepted once: now that it is not, it is damaged.
    Effect.catchTag("ShapeMismatch", ({ message }) => damaged(`layer ${layer}`, message)),
  )

/**
 * The cache that `toPure` wrote, on this device: bit for bit, with its masks, lengths, starts, layer numbers and
 * capacity. Data of another version, or damaged, is refused with `BadCacheData`. Rows are owed until an effect places
 * them, under a lease of the new cache's arena. O(tokens × layers).
 */
export const fromPure = (
  data: Pure,
  options: PureOptions = {},
): Effect.Effect<TransformerCache, FromPureError, Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    const pure = yield* Effect.fromResult(decode(data))
    const quantizer = Quantizer.all.find(({ name }) => name === pure.quantizer)
    if (quantizer === undefined) {
      return yield* damaged("its quantizer", `is "${pure.quantizer}", which is unknown`)
    }
    const layer = pure.views.findIndex((one) => one !== null)
    const first = pure.views[layer]
    if (!first) return cacheOf(pure.views.map(() => undefined))
    const { metadata } = yield* Effect.fromResult(optionsOf(first.view, layer))
    const dtype = pure.dtype as Storage // `Layout.make` would take any; storages are checked here
    if (!storages.includes(dtype)) {
      return yield* damaged("its dtype", `is "${pure.dtype}", which is unknown`)
    }
    const { blockSize } = pure
    const arena = options.arena ?? (yield* arenaFor(metadata, { ...options, dtype, blockSize }))
    if (arena.layout.dtype !== dtype) {
      const need = `${dtype}, as the data is`
      return yield* new InvalidArgument({
        name: "the arena's dtype",
        value: arena.layout.dtype,
        need,
      })
    }
    const views = yield* Effect.forEach(
      pure.views,
      (one, i) => one === null ? Effect.undefined : restored(one.view, i, arena, quantizer),
    )
    return cacheOf(views)
  })

/** Every storage, as a file may name it. */
const storages: ReadonlyArray<Storage> = ["f32", "f16", "bf16", "int8"]
